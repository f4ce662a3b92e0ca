// Streaming sample-rate conversion with little delay: the windowed-sinc polyphase filter of marssep_rt/dsp/resampler.py. Nothing is
// allocated while it runs.

import { RESAMPLER } from "./contract.mjs";

const HALF_WIDTH = RESAMPLER.half_width; // input samples on either side; also its delay
const TAPS = 2 * HALF_WIDTH;
const CUTOFF = RESAMPLER.cutoff; // of the lower of the two Nyquist frequencies
const KAISER_BETA = RESAMPLER.kaiser_beta;

// Modified Bessel function of the first kind, order 0.
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-17 * sum; ++k) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const divisor = (a, b) => (b ? divisor(b, a % b) : a);

// Weights of every phase, [up * TAPS]; each phase adds up to one.
function filters(up, cutoff) {
  const kernel = new Float32Array(up * TAPS);
  for (let p = 0; p < up; ++p) {
    const row = Array.from({ length: TAPS }, (_, i) => {
      const position = i - (HALF_WIDTH - 1) - p / up, edge = Math.min(1, Math.abs(position / HALF_WIDTH));
      return (cutoff * sinc(cutoff * position) * bessel(KAISER_BETA * Math.sqrt(1 - edge * edge))) / bessel(KAISER_BETA);
    });
    const sum = row.reduce((a, b) => a + b, 0);
    row.forEach((x, i) => (kernel[p * TAPS + i] = x / sum));
  }
  return kernel;
}

export class Resampler {
  // Rates in Hz; most: samples that one call brings at most.
  constructor(source, target, most) {
    const common = divisor(source, target);
    this.up = target / common;
    this.down = source / common;
    this.delay = HALF_WIDTH / source; // seconds
    this.kernel = filters(this.up, CUTOFF * Math.min(1, target / source));
    this.line = new Float32Array(TAPS - 1 + most); // history, then the new samples
    this.phase = 0; // of the next output, in 1/up input samples after the first new one
    this.most = Math.ceil((most * this.up) / this.down) + 1; // samples that one call gives at most
  }

  // n samples of ``input`` -> ``out``; returns how many came out.
  process(input, n, out) {
    const { up, down, kernel, line } = this;
    for (let i = 0; i < n; ++i) line[TAPS - 1 + i] = input[i];
    const count = n * up > this.phase ? Math.ceil((n * up - this.phase) / down) : 0;
    for (let m = 0, tick = this.phase; m < count; ++m, tick += down) {
      const first = Math.floor(tick / up), weights = (tick % up) * TAPS;
      let sum = 0;
      for (let i = 0; i < TAPS; ++i) sum += line[first + i] * kernel[weights + i];
      out[m] = sum;
    }
    line.copyWithin(0, n, n + TAPS - 1);
    this.phase += down * count - up * n;
    return count;
  }
}
