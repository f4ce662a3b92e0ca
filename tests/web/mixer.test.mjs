// The mixer, levels and presence, by numbers that follow from their formulas.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Mixer, coefficients, mixed, peakDb, ratioDb } from "../../export/web/page/mixer.mjs";
import { Absence, PresenceMeter, probability, shareDb } from "../../export/web/page/presence.mjs";

test("coefficients of target and dry signal", () => {
  assert.deepEqual(coefficients({ output: "target", wet: 1 }), [1, 0]);
  assert.deepEqual(coefficients({ output: "residual", wet: 1 }), [-1, 1]);
  assert.deepEqual(coefficients({ output: "target", wet: 0.25 }), [0.25, 0.75]);
  assert.deepEqual(coefficients({ output: "residual", wet: 0.25 }), [-0.25, 1]);
  assert.deepEqual(coefficients({ output: "bypass", wet: 0.25 }), [0, 1]);
  const limited = (output) => coefficients({ output, wet: 1, limitDb: 20 }).map((x) => Number(x.toFixed(6)));
  assert.deepEqual(limited("target"), [0.9, 0.1]);
  assert.deepEqual(limited("residual"), [-0.9, 1]);
  assert.deepEqual(limited("bypass"), [0, 1]);
});

test("a change is ramped over one hop, in every channel alike", () => {
  const mixer = new Mixer({ output: "target", wet: 1 }), target = new Float32Array(8).fill(1), dry = new Float32Array(8);
  assert.deepEqual([...mixer.run(target, dry, 2)], Array(8).fill(1));
  mixer.set({ output: "bypass", wet: 1 });
  assert.deepEqual([...mixer.run(target, dry, 2)], [0.75, 0.5, 0.25, 0, 0.75, 0.5, 0.25, 0]);
  assert.deepEqual([...mixer.run(target, dry, 2)], Array(8).fill(0));
});

test("whole files, and target plus residual is the input", () => {
  const target = [Float32Array.of(0.5, -0.25)], dry = [Float32Array.of(1, 1)];
  const [t, r] = ["target", "residual"].map((output) => mixed(target, dry, coefficients({ output, wet: 1 })));
  assert.deepEqual([...t[0]], [0.5, -0.25]);
  assert.deepEqual([...r[0]], [0.5, 1.25]);
});

test("levels", () => {
  assert.equal(peakDb(Float32Array.of(0.1, -1, 0.5)), 0);
  assert.ok(Math.abs(peakDb(Float32Array.of(0.5)) + 6.0206) < 1e-3);
  assert.equal(peakDb(Float32Array.of(0)), -60);
  assert.ok(Math.abs(ratioDb([Float32Array.of(0.1, 0.1)], [Float32Array.of(1, 1)]) + 20) < 1e-3);
  assert.ok(ratioDb([Float32Array.of(0)], [Float32Array.of(1)]) <= -100);
});

test("presence", () => {
  assert.equal(shareDb(1, 1), 0);
  assert.equal(shareDb(0, 1), -60);
  assert.equal(probability([0, 1], 0), 0.5);
  const meter = new PresenceMeter([1.823, 0.207], 480, 48000);
  assert.equal(meter.presence(), 0);
  for (let i = 0; i < 500; ++i) meter.add(0.01, 0.1);
  assert.ok(Math.abs(meter.presence() - 1 / (1 + Math.exp(-(1.823 - 2.07)))) < 1e-6);
  for (let i = 0; i < 5000; ++i) meter.add(0, 0); // silence
  assert.equal(meter.presence(), 0);
});

test("nothing matches: sound, but no target for three seconds", () => {
  const absence = new Absence();
  assert.equal(absence.add(0, -20, 0.1), false);
  assert.equal(absence.add(2.9, -20, 0.1), false);
  assert.equal(absence.add(3.1, -20, 0.1), true);
  assert.equal(absence.add(3.2, -60, 0.1), false);
  assert.equal(absence.add(3.3, -20, 0.9), false);
  assert.equal(absence.add(6.2, -20, 0.1), false);
});
