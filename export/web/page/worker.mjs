// The model's thread: loads the graphs, embeds words, separates files, and answers the audio thread hop by hop.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { Tokenizer } from "./vendor/tokenizers.min.mjs";
import { Mixer, peakDb } from "./mixer.mjs";
import { Separation, joined, middle, unit } from "./stream.mjs";
import { Vocabulary } from "./vocabulary.mjs";
import { Words } from "./words.mjs";

ort.env.wasm.numThreads = 1; // one hop at a time has nothing to share; and no special headers are needed of the server
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const HOPS_AT_ONCE = 16;
const MOST_WAITING = 25; // hops; a computer that is further behind leaves some out, or it would never catch up
const BREATH_MS = 50; // after so long a file's work lets messages in
let card, separator, text, tokenizer, vocabulary, typed, query; // query: { keep, drop }, lists of unit vectors; typed: Words
let settings = { output: "target", wet: 1 };
let asked = 0; // the number of the query that is wanted; an earlier one is not taken
let job = 0; // the number of the file's separation that is wanted; an earlier one stops
let live = null; // see begin

// Several files of the model, with one message for every part that arrives.
async function download(names) {
  const answers = await Promise.all(names.map((name) => fetch(new URL(`./model/${name}`, import.meta.url))));
  const missing = names.find((_, i) => !answers[i].ok);
  if (missing) throw new Error(`the server does not have model/${missing}`);
  const sizes = answers.map((answer) => Number(answer.headers.get("content-length")) || 0);
  const total = sizes.every(Boolean) && answers.every((a) => !a.headers.get("content-encoding")) ? sizes.reduce((a, b) => a + b) : 0;
  let got = 0;
  return Promise.all(
    answers.map(async (answer) => {
      const parts = [], reader = answer.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        parts.push(part.value);
        got += part.value.length;
        postMessage({ type: "loading", got, total });
      }
      return new Uint8Array(await new Blob(parts).arrayBuffer());
    }),
  );
}

const parsed = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

async function load() {
  const names = ["card.json", "tokenizer.json", "sounds.f32", "text.onnx", "separator.onnx"];
  const [cardFile, tokenizerFile, vectors, textFile, separatorFile] = await download(names);
  card = parsed(cardFile);
  tokenizer = new Tokenizer(parsed(tokenizerFile), {});
  vocabulary = new Vocabulary(card, new Float32Array(vectors.buffer));
  typed = new Words(card.words);
  text = await ort.InferenceSession.create(textFile);
  separator = await ort.InferenceSession.create(separatorFile);
  const { hop, latency, sample_rate: rate, encoder, sounds, words } = card;
  postMessage({ type: "ready", hop, latency, rate, encoder, sounds, words });
}

async function embed(words) {
  const ids = tokenizer.encode(words).ids.slice(0, card.text_length);
  const shape = [1, ids.length];
  const { embedding } = await text.run({
    input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new ort.Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
  });
  return unit(Float32Array.from(embedding.data));
}

// The vector of a sound in words; a family lies in the middle of its labels.
async function named(words) {
  const labels = typed.labelsOf(words);
  if (!labels.length) return embed(words);
  return middle(await Promise.all(labels.map(embed)));
}

// Rows of a whole file -> its target, aligned and as long, and the highest presence of every sound; null if another file took its place.
async function separate(rows, number) {
  const channels = rows.length, length = rows[0].length, size = HOPS_AT_ONCE * card.hop;
  const separation = new Separation(ort, separator, card, channels, query), { latency } = separation;
  const target = rows.map(() => new Float32Array(length));
  let presences = query.keep.map(() => 0), breath = performance.now();
  for (let at = 0; at < length + latency; at += size) {
    const audio = new Float32Array(channels * size);
    rows.forEach((row, c) => audio.set(row.subarray(at, at + size), c * size));
    const result = (await separation.run(audio)).target;
    const skip = Math.max(0, latency - at), to = at - latency + skip, until = Math.max(skip, Math.min(size, skip + length - to));
    if (skip < size) target.forEach((row, c) => row.set(result.subarray(c * size + skip, c * size + until), to));
    presences = separation.presences().map((p, i) => Math.max(p, presences[i]));
    if (performance.now() - breath < BREATH_MS) continue;
    postMessage({ type: "progress", part: Math.min(1, (at + size) / (length + latency)) });
    await new Promise((resume) => setTimeout(resume));
    if (number !== job) return null;
    breath = performance.now();
  }
  return { target, presences };
}

// Live: a fresh separation by the query, for the hops that come from now on.
function begin() {
  live.separation = new Separation(ort, separator, card, 1, query);
  live.recording &&= []; // a recording can be made again from its own input
}

// Hops from the audio thread, one after the other. Each travels back in the buffer in which it came.
function answer(port) {
  live = { mixer: new Mixer(settings), recording: null, times: [], input: -60, output: -60 };
  begin();
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
  const begun = performance.now();
  live.input = Math.max(live.input, peakDb(hop));
  live.recording?.push([hop.slice()]);
  const pair = live.recording?.at(-1);
  const { target, dry } = await live.separation.run(hop);
  pair?.push(target);
  hop.set(live.mixer.run(target, dry));
  live.output = Math.max(live.output, peakDb(hop));
  live.times.push(performance.now() - begun);
  if (live.times.length < 20) return;
  live.times.sort((a, b) => a - b);
  const presences = live.separation.presences(), { input, output } = live;
  postMessage({ type: "meters", input, output, presences, latency: live.separation.latency, hop_ms: live.times[10] });
  Object.assign(live, { times: [], input: -60, output: -60 });
}

const tasks = {
  load,
  // wish: { keep, drop }, lists of words
  async query({ wish, number }) {
    asked = number;
    const [keep, drop] = [await Promise.all(wish.keep.map(named)), await Promise.all(wish.drop.map(named))];
    if (number !== asked) return;
    query = { keep, drop };
    if (live) begin();
    const judged = (judge) => Object.fromEntries(wish.keep.map((words, i) => [words, judge(words, keep[i])]).filter(([, value]) => value !== null));
    const far = judged((words, vector) => (typed.labelsOf(words).length ? null : vocabulary.far(vector)));
    const limits = judged((words, vector) => (typed.familyOf(words).length ? null : vocabulary.limitDb(vector)));
    postMessage({ type: "query", number, wish, vectors: keep, far, limits, own: judged((words) => typed.nearestOf(words)) });
  },
  async settings({ value }) {
    settings = value;
    live?.mixer.set(value);
  },
  async file({ rows, number }) {
    job = number;
    const result = await separate(rows, number);
    if (result) postMessage({ type: "separated", number, ...result }, result.target.map((row) => row.buffer));
  },
  async cancel() {
    job = 0;
  },
  async live({ port }) {
    answer(port);
  },
  async stopped() {
    live = null;
  },
  async record() {
    live.recording = [];
    begin();
  },
  async recorded() {
    const pairs = (live?.recording ?? []).filter((pair) => pair.length === 2), { latency } = live.separation;
    live.recording = null;
    const [input, target] = [0, 1].map((i) => joined(pairs.map((p) => p[i])));
    const presences = live.separation.presences();
    // the end of the input, whose target has not come yet, is left off
    const length = Math.max(0, input.length - latency);
    postMessage({ type: "recorded", input: [input.slice(0, length)], target: [target.slice(latency)], presences });
  },
};

onmessage = async ({ data }) => {
  try {
    await tasks[data.type](data);
  } catch (error) {
    postMessage({ type: "error", words: String(error.message ?? error) });
  }
};
