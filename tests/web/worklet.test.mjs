// The audio thread's side of the page, with a model's thread that is simulated: run by "node --test".

import assert from "node:assert/strict";
import { test } from "node:test";

const HOP = 480, SLACK = 960, QUANTUM = 128;
let Processor;
globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.port = { sent: [], postMessage: (message) => this.port.sent.push(message) };
  }
};
globalThis.registerProcessor = (name, made) => (Processor = made);
await import(new URL("../../export/web/page/worklet.mjs", import.meta.url));

// A processor, and a model's thread that keeps what it got until it is told to answer.
function made({ connected = true, deviceRate = 48000 } = {}) {
  const io = new Processor({ processorOptions: { hop: HOP, slack: SLACK, rate: 48000, deviceRate } });
  const model = { waiting: [], buffers: new Set(), postMessage: (hop) => model.waiting.push(hop) };
  model.answer = (count = Infinity) => {
    for (const hop of model.waiting.splice(0, count)) {
      model.buffers.add(hop);
      model.onmessage({ data: hop });
    }
  };
  const connect = () => io.port.onmessage({ data: { port: model } });
  if (connected) connect();
  return { io, model, connect };
}

// Quanta of a ramp through the processor; ``between`` runs after each. -> what is played.
function run({ io }, quanta, between = () => {}, from = 0) {
  const played = [];
  for (let q = 0; q < quanta; ++q) {
    const input = Float32Array.from({ length: QUANTUM }, (_, i) => from + q * QUANTUM + i + 1);
    const out = [new Float32Array(QUANTUM), new Float32Array(QUANTUM)];
    assert.equal(io.process([[input, input]], [out]), true);
    assert.deepEqual(out[1], out[0]);
    played.push(...out[0]);
    between(q);
  }
  return played;
}

const LATE = HOP + SLACK;

test("what is played is the input, late by a hop and the slack", () => {
  const it = made();
  const played = run(it, 200, () => it.model.answer());
  assert.ok(played.slice(0, LATE).every((x) => x === 0));
  assert.ok(played.slice(LATE).every((x, i) => x === i + 1));
  assert.equal(it.io.missed, 0);
});

test("channels are mixed to their mean, and no input is silence", () => {
  const it = made();
  const left = new Float32Array(QUANTUM).fill(0.5), right = new Float32Array(QUANTUM).fill(0.25), out = [new Float32Array(QUANTUM)];
  for (let q = 0; q < 30; ++q) {
    it.io.process([q < 15 ? [left, right] : []], [out]);
    it.model.answer();
    if (q === 14) assert.ok(out[0].every((x) => x === 0.375));
  }
  assert.ok(out[0].every((x) => x === 0));
});

for (const deviceRate of [48000, 44100])
  test(`nothing is allocated while it runs, and buffers come back, at ${deviceRate} Hz`, () => {
    const it = made({ deviceRate }), Real = globalThis.Float32Array;
    run(it, 20, () => it.model.answer());
    let allocated = 0;
    const input = [[new Real(QUANTUM), new Real(QUANTUM)]], out = [[new Real(QUANTUM)]];
    globalThis.Float32Array = class extends Real {
      constructor(...values) {
        super(...values);
        ++allocated;
      }
    };
    try {
      for (let q = 0; q < 2000; ++q) {
        it.io.process(input, out);
        it.model.answer();
      }
    } finally {
      globalThis.Float32Array = Real;
    }
    assert.equal(allocated, 0);
    assert.ok(it.model.buffers.size <= 64);
  });

for (const deviceRate of [44100, 16000, 96000])
  test(`a device at ${deviceRate} Hz hears its own sound, later`, () => {
    const it = made({ deviceRate }), played = [], quanta = 400;
    const tone = (i) => Math.sin((2 * Math.PI * 500 * i) / deviceRate);
    for (let q = 0; q < quanta; ++q) {
      const out = [new Float32Array(QUANTUM)];
      it.io.process([[Float32Array.from({ length: QUANTUM }, (_, i) => tone(q * QUANTUM + i))]], [out]);
      it.model.answer();
      played.push(...out[0]);
    }
    const late = ((HOP + SLACK) / 48000 + it.io.toModel.delay + it.io.toDevice.delay) * deviceRate;
    const from = Math.ceil(late) + 200, error = played.slice(from).reduce((most, x, i) => Math.max(most, Math.abs(x - tone(from + i - late))), 0);
    assert.ok(error < 2e-3, `${error}`);
    assert.equal(it.io.missed, 0);
  });

test("after hops that came too late, latency is what it was", () => {
  const it = made();
  run(it, 100, () => it.model.answer());
  run(it, 40, () => {}, 100 * QUANTUM); // the model's thread stands still
  assert.ok(it.io.missed > 0);
  assert.ok(it.io.port.sent.length > 0);
  const played = run(it, 100, () => it.model.answer(), 140 * QUANTUM).slice(QUANTUM);
  assert.ok(played.every((x, i) => x === 141 * QUANTUM + i + 1 - LATE));
});

test("input that found no buffer shifts nothing", () => {
  const it = made();
  run(it, 100, () => it.model.answer());
  run(it, 400, () => {}, 100 * QUANTUM); // more than the pool holds
  assert.equal(it.io.free.length, 0);
  const played = run(it, 200, () => it.model.answer(), 500 * QUANTUM).slice(-100 * QUANTUM);
  assert.ok(played.every((x, i) => x === 600 * QUANTUM + i + 1 - LATE));
});

test("a model's thread that comes later shifts nothing", () => {
  const it = made({ connected: false });
  run(it, 50);
  it.connect();
  const played = run(it, 200, () => it.model.answer(), 50 * QUANTUM).slice(-100 * QUANTUM);
  assert.ok(played.every((x, i) => x === 150 * QUANTUM + i + 1 - LATE));
});

test("it ends when it is told to", () => {
  const it = made();
  it.io.port.onmessage({ data: { stop: true } });
  assert.equal(it.io.process([[]], [[new Float32Array(QUANTUM)]]), false);
});
