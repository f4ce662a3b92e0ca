// A raw float32 mono stream at the graph's rate through separator.onnx with a .query file; npm install onnxruntime-web
//     node example.mjs separator.onnx dog.query < in.f32 > out.f32
// The output is as long as the input and late by the graph's latency.

import { readFileSync, writeSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [graph, queryFile] = process.argv.slice(2);
if (!queryFile) {
  console.error("usage: node example.mjs separator.onnx NAME.query < in.f32 > out.f32");
  process.exit(2);
}
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(graph));

// onnxruntime-web does not show a graph's metadata: card.json beside it says the same
const card = JSON.parse(readFileSync(new URL("card.json", new URL(graph, `file://${process.cwd()}/`)), "utf8"));
const { hop, states } = card;
const zeros = (shape) => {
  const sizes = shape.map((d) => (typeof d === "number" ? d : 1)); // "B" streams and "C" channels: one of each
  return new ort.Tensor("float32", new Float32Array(sizes.reduce((a, b) => a * b, 1)), sizes);
};
const { vector } = JSON.parse(readFileSync(queryFile, "utf8"));
const query = new ort.Tensor("float32", Float32Array.from(vector), [1, vector.length]);
const other = card.other ? { other: zeros(["B", vector.length]) } : {}; // some graphs take a sound to push away; zeros: none
let state = Object.fromEntries(Object.entries(states).map(([name, shape]) => [name, zeros(shape)]));

const bytes = readFileSync(0);
const input = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~3)));
for (let at = 0; at < input.length; at += hop) {
  const audio = new Float32Array(hop);
  const part = input.subarray(at, at + hop);
  audio.set(part);
  const result = await session.run({ audio: new ort.Tensor("float32", audio, [1, 1, hop]), query, ...other, ...state });
  state = Object.fromEntries(Object.keys(states).map((name) => [name, result[`${name}_next`]]));
  writeSync(1, Buffer.from(result.target.data.slice(0, part.length).buffer));
}
