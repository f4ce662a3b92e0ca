// Presence, as marssep_rt/dsp/presence.py defines it for bundles without an audio encoder: a logistic curve over the target's share of the
// input's energy. The page loads no audio encoder. The curve is the model's and comes with it.

import { PRESENCE } from "./contract.mjs";

export const PRESENCE_THRESHOLD = PRESENCE.threshold; // from here on the sound counts as present
const UNMATCHED_SECONDS = PRESENCE.unmatched_seconds;
const SILENT_DB = PRESENCE.floor_db; // dBFS; a peak below is no sound

// The target's share of the input's energy in dB, -60..0.
export function shareDb(target, input) {
  return Math.max(PRESENCE.floor_db, Math.min(0, 10 * Math.log10((target + 1e-12) / (input + 1e-12))));
}

// curve: constant and weight per dB.
export function probability([constant, perDb], share) {
  return 1 / (1 + Math.exp(-Math.max(-50, Math.min(50, constant + perDb * share))));
}

export class PresenceMeter {
  constructor(curve, hop, rate) {
    this.curve = curve;
    this.keep = Math.exp(-hop / rate / PRESENCE.smoothing_seconds);
    this.forget();
  }

  forget() {
    this.target = this.input = this.weight = 0;
  }

  // Energies of one hop, a sample each.
  add(target, input) {
    const { keep } = this;
    this.target = keep * this.target + (1 - keep) * target;
    this.input = keep * this.input + (1 - keep) * input;
    this.weight = keep * this.weight + 1 - keep;
  }

  // 0..1; 0 where the input is silent.
  presence() {
    if (this.weight < 1e-6 || 10 * Math.log10(this.input / this.weight + 1e-12) < PRESENCE.floor_db) return 0;
    return probability(this.curve, shareDb(this.target, this.input));
  }
}

// Whether there is sound, but for some seconds no target.
export class Absence {
  constructor() {
    this.last = null; // when a sound was present, in seconds
  }

  add(now, level, presence) {
    if (this.last === null || presence >= PRESENCE_THRESHOLD) this.last = now;
    return level > SILENT_DB && now - this.last > UNMATCHED_SECONDS;
  }
}
