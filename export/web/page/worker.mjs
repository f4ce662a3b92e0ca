// The model's thread: loads the graphs, embeds words, separates files, and answers the audio thread hop by hop.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { Tokenizer } from "./vendor/tokenizers.min.mjs";
import { TARGET_LEVEL } from "./contract.mjs";
import { Stream, energy, mixed } from "./stream.mjs";

ort.env.wasm.numThreads = 1; // one hop at a time has nothing to share; and no special headers are needed of the server
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const HOPS_AT_ONCE = 16;
const MOST_WAITING = 25; // hops; a computer that is further behind leaves some out, or it would never catch up
let card, separator, text, tokenizer, sounds, query, mode = "target";
let live = null; // { stream, recording, queue }

async function bytes(name) {
  const answer = await fetch(new URL(`./model/${name}`, import.meta.url));
  if (!answer.ok) throw new Error(`${name} cannot be loaded (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function json(name) {
  return JSON.parse(new TextDecoder().decode(await bytes(name)));
}

async function load() {
  card = await json("card.json");
  separator = await ort.InferenceSession.create(await bytes("separator.onnx"));
  text = await ort.InferenceSession.create(await bytes("text.onnx"));
  tokenizer = new Tokenizer(await json("tokenizer.json"), {});
  sounds = new Float32Array((await bytes("sounds.f32")).buffer); // vectors of card.sounds, one after the other
  postMessage({ type: "ready", hop: card.hop, latency: card.latency, rate: card.sample_rate, encoder: card.encoder, sounds: card.sounds });
}

async function embed(words) {
  const ids = tokenizer.encode(words).ids.slice(0, card.text_length);
  const shape = [1, ids.length];
  const { embedding } = await text.run({
    input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new ort.Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
  });
  const vector = Float32Array.from(embedding.data);
  const norm = Math.sqrt(energy(vector));
  return vector.map((x) => x / norm);
}

// The nearest trained sounds to a query that is far from all of them; else null.
function doubt(vector) {
  const dim = vector.length;
  const near = card.sounds.map((label, i) => ({ label, cosine: vector.reduce((sum, x, k) => sum + x * sounds[i * dim + k], 0) }));
  near.sort((a, b) => b.cosine - a.cosine);
  return near.length && near[0].cosine < card.far_below ? near.slice(0, 3).map(({ label }) => label) : null;
}

// Rows of whole files -> the output, aligned and as long.
async function separate(rows) {
  const channels = rows.length, length = rows[0].length, size = HOPS_AT_ONCE * card.hop;
  const stream = new Stream(ort, separator, card, channels);
  const out = rows.map(() => new Float32Array(length));
  for (let at = 0; at < length + card.latency; at += size) {
    const audio = new Float32Array(channels * size);
    rows.forEach((row, c) => audio.set(row.subarray(at, at + size), c * size));
    const result = mixed(await stream.run(audio, query), mode);
    const skip = Math.max(0, card.latency - at), to = at - card.latency + skip;
    out.forEach((row, c) => row.set(result.subarray(c * size + skip, c * size + Math.max(skip, Math.min(size, skip + length - to))), to));
    postMessage({ type: "progress", part: Math.min(1, (at + size) / (length + card.latency)) });
  }
  return out;
}

// Hops from the audio thread, one after the other. Each travels back in the buffer in which it came.
function answer(port) {
  const keep = Math.exp(-card.hop / card.sample_rate / TARGET_LEVEL.smoothing_seconds);
  live = { stream: new Stream(ort, separator, card, 1), recording: null, keep, kept: 0, heard: 1e-9, times: [] };
  let chain = Promise.resolve(), waiting = 0;
  port.onmessage = ({ data }) => {
    ++waiting;
    chain = chain.then(async () => {
      try {
        if (waiting-- > MOST_WAITING) data.fill(0);
        else await separateHop(data);
      } catch (error) {
        data.fill(0);
        postMessage({ type: "error", words: String(error.message ?? error) });
      }
      port.postMessage(data, [data.buffer]);
    });
  };
}

// One hop of input, which becomes the output.
async function separateHop(hop) {
  const begun = performance.now(), db = (x) => 10 * Math.log10(energy(x) / x.length + 1e-12);
  const parts = await live.stream.run(hop, query);
  const input = db(hop), out = mixed(parts, mode);
  live.kept = live.keep * live.kept + (1 - live.keep) * energy(parts.target);
  live.heard = live.keep * live.heard + (1 - live.keep) * energy(parts.dry) + 1e-12;
  live.recording?.push([hop.slice(), out.slice()]);
  hop.set(out);
  live.times.push(performance.now() - begun);
  if (live.times.length < 20) return;
  live.times.sort((a, b) => a - b);
  postMessage({ type: "meters", input, output: db(out), presence: Math.min(1, live.kept / live.heard), hop_ms: live.times[10] });
  live.times = [];
}

function joined(parts) {
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const tasks = {
  load,
  async query({ words }) {
    query = await embed(words);
    postMessage({ type: "listening", words, vector: query, far: doubt(query) });
  },
  async mode({ value }) {
    mode = value;
  },
  async file({ rows }) {
    const out = await separate(rows);
    postMessage({ type: "separated", input: rows, output: out }, [...rows, ...out].map((row) => row.buffer));
  },
  async live({ port }) {
    answer(port);
  },
  async record() {
    live.stream.reset(); // so that the recording begins with a fresh state and can be made again from its input
    live.recording = [];
  },
  async recorded() {
    const pairs = live.recording ?? [];
    live.recording = null;
    const [input, output] = [0, 1].map((i) => joined(pairs.map((p) => p[i])));
    postMessage({ type: "separated", input: [input], output: [output.slice(card.latency)] });
  },
};

onmessage = async ({ data }) => {
  try {
    await tasks[data.type](data);
  } catch (error) {
    postMessage({ type: "error", words: String(error.message ?? error) });
  }
};
