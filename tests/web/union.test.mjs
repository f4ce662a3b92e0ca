// Union of masks, and what is left out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Union, unionGain } from "../../export/web/page/union.mjs";

const HOP = 480, RATE = 48000;
const sine = (hz, n, gain = 1) => Float32Array.from({ length: n }, (_, i) => gain * Math.sin((2 * Math.PI * hz * i) / RATE));
const plus = (...signals) => signals[0].map((_, i) => signals.reduce((sum, s) => sum + s[i], 0));
const times = (signal, gain) => signal.map((x) => gain * x);

// Whole signals (channels in a row each) through a union, its delay taken off.
function through(union, targets, dry, channels = 1) {
  const n = dry.length / channels, out = Array.from({ length: channels }, () => []), late = Array.from({ length: channels }, () => []);
  const hop = (signal, at) => {
    const piece = new Float32Array(channels * HOP);
    for (let c = 0; c < channels; ++c) piece.set(signal.subarray(c * n + at, c * n + at + HOP), c * HOP);
    return piece;
  };
  for (let at = 0; at < n; at += HOP) {
    const result = union.process(targets.map((t) => hop(t, at)), hop(dry, at));
    for (let c = 0; c < channels; ++c) {
      out[c].push(...result.target.subarray(c * HOP, (c + 1) * HOP));
      late[c].push(...result.dry.subarray(c * HOP, (c + 1) * HOP));
    }
  }
  return { target: out.map((row) => row.slice(HOP)), dry: late.map((row) => row.slice(HOP)) };
}

function largest(a, b) {
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);
}

// Away from the ends, the error is 25 dB below what is wanted.
function assertNear(found, wanted) {
  const [y, x] = [found, wanted].map((signal) => signal.slice(4 * HOP, 30 * HOP)), square = (s, v) => s + v * v;
  const db = 10 * Math.log10(y.map((v, i) => v - x[i]).reduce(square, 0) / x.reduce(square, 0));
  assert.ok(db < -25, `${db} dB`);
}

test("the gain of one band", () => {
  assert.equal(unionGain([0.25], []), 0.25);
  assert.equal(unionGain([0.25, 0.5], []), 0.75);
  assert.equal(unionGain([0.75, 0.75], []), 1);
  assert.equal(unionGain([1], [1]), 0);
  assert.equal(unionGain([0.5], [0.5]), 0.5);
  assert.equal(unionGain([1], [0.75]), 0.5);
  assert.equal(unionGain([0.25], [0]), 0.5);
  assert.equal(unionGain([0.5], [0.75, 0.75]), 0);
});

test("all of it twice is all of it once", () => {
  const x = plus(sine(300, 20 * HOP), sine(5000, 20 * HOP, 0.3));
  const { target, dry } = through(new Union(2, 2, 1, HOP), [x, x], x);
  assert.ok(largest(target[0], x) < 1e-5);
  assert.ok(largest(dry[0], x) === 0);
});

test("two sounds are their sum", () => {
  const a = sine(400, 40 * HOP), b = sine(3000, 40 * HOP, 0.5), c = sine(9000, 40 * HOP);
  const { target } = through(new Union(2, 2, 1, HOP), [a, b], plus(a, b, c));
  assertNear(target[0], plus(a, b));
});

test("what belongs to a sound to leave out goes", () => {
  const a = sine(400, 40 * HOP), b = sine(3000, 40 * HOP);
  // the first stream lets half of b through, too; the second one knows b
  const { target } = through(new Union(1, 2, 1, HOP), [plus(a, times(b, 0.5)), b], plus(a, b));
  assertNear(target[0], a);
});

test("channels are apart, and a reset forgets", () => {
  const n = 10 * HOP, left = sine(400, n), right = sine(2000, n), both = new Float32Array(2 * n);
  both.set(left);
  both.set(right, n);
  const union = new Union(1, 2, 2, HOP), nothing = new Float32Array(2 * n);
  const first = through(union, [both, nothing], both, 2);
  assert.ok(largest(first.target[0], left) < 1e-5);
  assert.ok(largest(first.target[1], right) < 1e-5);
  union.reset();
  assert.deepEqual(through(union, [both, nothing], both, 2), first);
});

test("silence stays silence", () => {
  const zero = new Float32Array(5 * HOP);
  assert.ok(through(new Union(2, 3, 1, HOP), [zero, zero, zero], zero).target[0].every((x) => x === 0));
});
