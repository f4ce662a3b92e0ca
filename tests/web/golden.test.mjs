// The page's code against the golden vectors that Python wrote: run by "node --test".

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { LATENCY, MIXER } from "../../export/web/page/contract.mjs";
import { coefficients, strengthSettings } from "../../export/web/page/mixer.mjs";

const golden = JSON.parse(readFileSync(new URL("../golden.json", import.meta.url)));
let Processor;
globalThis.AudioWorkletProcessor = class {
  port = { postMessage() {} };
};
globalThis.registerProcessor = (name, made) => (Processor = made);
await import(new URL("../../export/web/page/worklet.mjs", import.meta.url));

test("the mixer, of which the page has output, mix and limit", () => {
  const cases = golden.mixer.filter((m) => m.gain_db === MIXER.gain_db_default);
  assert.ok(cases.filter((m) => m.limit_db !== null).length >= 3);
  for (const { mode, wet, limit_db, coefficients: wanted } of cases)
    coefficients({ output: mode, wet, limitDb: limit_db }).forEach((x, i) => assert.ok(Math.abs(x - wanted[i]) < 1e-6));
});

test("the strength", () => {
  assert.ok(golden.strength.length >= 5);
  for (const { percent, wet, limit_db } of golden.strength) {
    const found = strengthSettings(percent);
    assert.equal(found.wet, wet);
    assert.ok(limit_db === null ? found.limitDb === null : Math.abs(found.limitDb - limit_db) < 1e-9);
  }
});

test("the latency of the audio thread", () => {
  for (const { hop, slack, total } of golden.page_latency) {
    assert.equal(slack, LATENCY.page_extra_hops * hop);
    const io = new Processor({ processorOptions: { hop, slack } }), out = new Float32Array(128), played = [];
    const model = { postMessage: (buffer) => model.onmessage({ data: buffer }) };
    io.port.onmessage({ data: { port: model } });
    for (let q = 0; q < 40; ++q) {
      io.process([[new Float32Array(128).fill(1)]], [[out]]);
      played.push(...out);
    }
    assert.equal(played.indexOf(1), total);
  }
});
