// The mixer: target and dry signal become the output. The same two coefficients as in marssep_rt/dsp/mixer.py.

import { MIXER } from "./contract.mjs";

// Mix and attenuation limit of a strength in percent: 0 % is the input, 100 % has no limit.
export function strengthSettings(percent) {
  return { wet: 1, limitDb: percent === 100 ? null : (MIXER.strength_db * percent) / 100 };
}

// [a, b] of y = a * target + b * dry. output: target, residual or bypass; wet: the mix, 0 (dry) to 1; limitDb: null, or from
// MIXER.no_limit_db on, is no limit.
export function coefficients({ output, wet, limitDb = null }) {
  if (output === "bypass") return [0, 1];
  const leak = limitDb === null || limitDb >= MIXER.no_limit_db ? 0 : 10 ** (-limitDb / 20);
  const [target, rest] = output === "residual" ? [leak, 1] : [1, leak];
  return [wet * (target - rest), wet * rest + 1 - wet];
}

// Hop by hop: changes are ramped over one hop.
export class Mixer {
  constructor(settings) {
    this.now = this.wanted = coefficients(settings);
  }

  set(settings) {
    this.wanted = coefficients(settings);
  }

  // target, dry: Float32Array [channels * hop] -> the output, as long.
  run(target, dry, channels = 1) {
    const out = new Float32Array(target.length), n = target.length / channels;
    const [[a, b], [nextA, nextB]] = [this.now, this.wanted];
    for (let i = 0; i < out.length; ++i) {
      const part = ((i % n) + 1) / n;
      out[i] = (a + (nextA - a) * part) * target[i] + (b + (nextB - b) * part) * dry[i];
    }
    this.now = this.wanted;
    return out;
  }
}

// Rows of a whole file at once.
export function mixed(target, dry, [a, b]) {
  return target.map((row, c) => {
    const out = new Float32Array(row.length), input = dry[c];
    for (let i = 0; i < out.length; ++i) out[i] = a * row[i] + b * input[i];
    return out;
  });
}

export function energy(x) {
  let sum = 0;
  for (let i = 0; i < x.length; ++i) sum += x[i] * x[i];
  return sum;
}

// The largest absolute sample in dBFS, at least -60.
export function peakDb(x) {
  let peak = 1e-9;
  for (let i = 0; i < x.length; ++i) peak = Math.max(peak, Math.abs(x[i]));
  return Math.max(-60, 20 * Math.log10(peak));
}

// The energy of some rows against that of others in dB, -120..120.
export function ratioDb(rows, others) {
  const sum = (list) => list.reduce((total, row) => total + energy(row), 0);
  return Math.max(-120, Math.min(120, 10 * Math.log10((sum(rows) + 1e-12) / (sum(others) + 1e-12))));
}
