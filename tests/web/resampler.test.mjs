// Sample rates of audio devices against the model's.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../export/web/page/resampler.mjs";

function run(resampler, x, block) {
  const out = new Float32Array(resampler.most), all = [];
  for (let at = 0; at < x.length; at += block) {
    const piece = x.subarray(at, at + block), n = resampler.process(piece, piece.length, out);
    assert.ok(n <= resampler.most);
    all.push(...out.subarray(0, n));
  }
  return all;
}

const sine = (hz, rate, n, late = 0) => Float32Array.from({ length: n }, (_, i) => Math.sin(2 * Math.PI * hz * (i / rate - late)));

for (const [source, target] of [[44100, 48000], [48000, 44100], [16000, 48000], [48000, 16000], [96000, 48000], [48000, 96000]])
  test(`${source} to ${target} Hz`, () => {
    const resampler = new Resampler(source, target, 128), n = 128 * 80, out = run(resampler, sine(1000, source, n), 128);
    assert.equal(out.length, Math.ceil((n * target) / source));
    const wanted = sine(1000, target, out.length, resampler.delay), from = Math.ceil(2 * resampler.delay * target);
    const error = out.slice(from).reduce((most, x, i) => Math.max(most, Math.abs(x - wanted[from + i])), 0);
    assert.ok(error < 1e-3, `${error}`);
  });

test("blocks do not matter", () => {
  const x = sine(440, 44100, 4000);
  assert.deepEqual(run(new Resampler(44100, 48000, 128), x, 128), run(new Resampler(44100, 48000, 128), x, 37));
});

test("nothing above the lower Nyquist frequency passes", () => {
  const out = run(new Resampler(48000, 16000, 128), sine(10500, 48000, 128 * 60), 128).slice(200);
  assert.ok(Math.max(...out.map(Math.abs)) < 2e-3);
});
