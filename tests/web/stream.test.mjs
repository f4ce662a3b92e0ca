// Streams through a graph that is simulated: each query's first number is the gain of its stream, the target is late by one hop. Gains of
// streams to unite are added, and those of streams to leave out are subtracted.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Separation, Stream } from "../../export/web/page/stream.mjs";

const HOP = 480;
const card = { hop: HOP, latency: HOP, sample_rate: 48000, states: { past: ["B", "C", HOP] }, presence: [1.823, 0.207] };
const ort = {
  Tensor: class {
    constructor(type, data, dims) {
      Object.assign(this, { type, data, dims });
    }
  },
};

function graph(inputNames = ["audio", "query", "past"]) {
  return {
    inputNames,
    seen: [],
    async run({ audio, query, other, also, drop, past }) {
      this.seen.push({ audio: audio.dims, query: query.dims, other: other && Array.from(other.data), past: past.dims });
      if (also) this.mixing = [also, drop].map(({ data, dims }) => ({ data: Array.from(data), dims }));
      const [streams, channels, n] = audio.dims, dim = query.dims[1];
      const target = new Float32Array(audio.data.length), next = new Float32Array(past.data.length);
      for (let s = 0; s < streams; ++s)
        for (let c = 0; c < channels; ++c) {
          const row = s * channels + c, of = (j) => query.data[j * dim];
          let gain = of(s);
          for (let j = 0; also && j < streams; ++j) gain += (also.data[s * streams + j] - drop.data[s * streams + j]) * of(j);
          const line = [...past.data.subarray(row * HOP, (row + 1) * HOP), ...audio.data.subarray(row * n, (row + 1) * n)];
          for (let i = 0; i < n; ++i) target[row * n + i] = gain * line[i];
          next.set(line.slice(n), row * HOP);
        }
      return { target: new ort.Tensor("float32", target, audio.dims), past_next: new ort.Tensor("float32", next, past.dims) };
    },
  };
}

const ramp = (n, from = 1) => Float32Array.from({ length: n }, (_, i) => (from + i) / 10000);
const vector = (...x) => Float32Array.from(x);
const near = (a, b) => assert.ok(a.length === b.length && a.every((x, i) => Math.abs(x - b[i]) < 1e-5), `${a.slice(0, 5)} is not ${b.slice(0, 5)}`);

test("every query is a stream of one batch, and the input is as late as the targets", async () => {
  const net = graph(), stream = new Stream(ort, net, card, 2, [vector(1, 0), vector(0.5, 0)]);
  const first = await stream.run(new Float32Array([...ramp(HOP), ...ramp(HOP, 5)]));
  assert.deepEqual(net.seen[0], { audio: [2, 2, HOP], query: [2, 2], other: undefined, past: [2, 2, HOP] });
  assert.ok(first.dry.every((x) => x === 0));
  const second = await stream.run(new Float32Array(2 * HOP));
  near(second.dry, new Float32Array([...ramp(HOP), ...ramp(HOP, 5)]));
  near(second.targets[0], second.dry);
  near(second.targets[1], second.dry.map((x) => x / 2));
});

test("samples that are no numbers are silence", async () => {
  const stream = new Stream(ort, graph(), card, 1, [vector(1)]);
  await stream.run(Float32Array.from({ length: HOP }, (_, i) => (i % 2 ? NaN : Infinity)));
  const { dry, targets } = await stream.run(new Float32Array(HOP));
  assert.ok([...dry, ...targets[0]].every((x) => x === 0));
});

test("the streams of what is kept know what is dropped, of a graph that puts masks together", async () => {
  const asked = async (inputs, wish) => {
    const net = graph(["audio", "query", "other", "past", ...inputs]);
    await new Separation(ort, net, card, 1, wish).run(new Float32Array(HOP));
    return net.seen[0].other;
  };
  const dog = vector(1, 0), rain = vector(0, 1);
  assert.deepEqual(await asked(["also", "drop"], { keep: [dog], drop: [] }), [0, 0]);
  assert.deepEqual(await asked(["also", "drop"], { keep: [dog], drop: [rain] }), [0, 1, 0, 0]);
  const half = Math.fround(Math.SQRT1_2);
  // the last stream: the first sound alone, for its presence
  assert.deepEqual(await asked(["also", "drop"], { keep: [dog, dog], drop: [dog, rain] }), [half, half, half, half, 0, 0, 0, 0, half, half]);
  assert.deepEqual(await asked([], { keep: [dog], drop: [rain] }), [0, 0, 0, 0]);
});

test("one sound is the graph's own target, without more latency", async () => {
  const separation = new Separation(ort, graph(), card, 1, { keep: [vector(0.5)], drop: [] });
  assert.equal(separation.latency, HOP);
  await separation.run(ramp(HOP));
  near((await separation.run(new Float32Array(HOP))).target, ramp(HOP).map((x) => x / 2));
});

test("several hops at once are hop after hop", async () => {
  const wish = { keep: [vector(0.4), vector(0.3)], drop: [vector(0.1)] }, x = ramp(12 * HOP);
  const [whole, pieces] = [0, 1].map(() => new Separation(ort, graph(), card, 1, wish));
  assert.equal(whole.latency, 2 * HOP);
  const once = await whole.run(x.slice()), parts = [];
  for (let at = 0; at < x.length; at += HOP) parts.push(...(await pieces.run(x.slice(at, at + HOP))).target);
  near(once.target, Float32Array.from(parts));
  // masks 0.4 and 0.3 add up, and 0.1 leaves 0.9
  near(once.target.slice(4 * HOP), x.slice(2 * HOP, 10 * HOP).map((v) => Math.sqrt(0.7 * 0.9) * v));
  near(once.dry.slice(2 * HOP), x.slice(0, 10 * HOP));
});

const MIXES = ["audio", "query", "also", "drop", "past"];

test("a graph that can puts the masks together, without more latency", async () => {
  const net = graph(MIXES), wish = { keep: [vector(0.4), vector(0.3)], drop: [vector(0.1)] }, x = ramp(4 * HOP);
  const separation = new Separation(ort, net, card, 1, wish);
  assert.equal(separation.latency, HOP);
  const { target, dry } = await separation.run(x.slice());
  near(target.slice(HOP), x.slice(0, 3 * HOP).map((v) => 0.6 * v)); // 0.4 + 0.3 - 0.1
  near(dry.slice(HOP), x.slice(0, 3 * HOP));
  const row = (...ones) => Array.from({ length: 16 }, (_, i) => Number(ones.includes(i)));
  assert.deepEqual(net.mixing, [row(1), row(2)].map((data) => ({ data, dims: [4, 4] }))); // the fourth: the first sound alone
});

test("a graph that puts masks together gets zeros for one sound", async () => {
  const net = graph(MIXES);
  await new Separation(ort, net, card, 1, { keep: [vector(0.5)], drop: [] }).run(ramp(HOP));
  assert.deepEqual(net.mixing, Array(2).fill({ data: [0], dims: [1, 1] }));
});

for (const inputs of [undefined, MIXES]) test(`presence of every sound to keep (${inputs})`, async () => {
  const separation = new Separation(ort, graph(inputs), card, 1, { keep: [vector(1), vector(0.001)], drop: [vector(1)] });
  for (let i = 0; i < 300; ++i) await separation.run(ramp(HOP, 1000));
  const [loud, hardly] = separation.presences();
  assert.ok(Math.abs(loud - 1 / (1 + Math.exp(-1.823))) < 1e-3);
  assert.ok(hardly < 0.01);
});
