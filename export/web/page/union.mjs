// Several targets of one input as one: the union of the masks of the sounds to keep, without what belongs to sounds to leave out.
// The masks are measured on the targets: a short-time spectrum over the input's, frame by frame.

import { Fft } from "./fft.mjs";

// The gain of one band from the masks of the sounds to keep and to leave out, each 0..1. Sounds that share a band add up. Where a sound is to
// be left out, two estimates say what is wanted, the mask of the one and what the other leaves: their geometric mean is the gain.
export function unionGain(keep, drop) {
  let kept = 0, dropped = 0;
  for (const mask of keep) kept += mask;
  for (const mask of drop) dropped += mask;
  kept = Math.min(1, kept);
  return drop.length ? Math.sqrt(kept * (1 - Math.min(1, dropped))) : kept;
}

export class Union {
  // The first ``keep`` of ``streams`` targets are kept, the others left out; ``hop`` in samples. Its delay is one hop.
  constructor(keep, streams, channels, hop) {
    Object.assign(this, { keep, streams, channels, hop, latency: hop });
    let size = 2;
    while (size < 2 * hop) size *= 2;
    this.fft = new Fft(size);
    // analysis and synthesis: their product is a Hann window, whose overlapping halves add up to one
    this.window = Float64Array.from({ length: 2 * hop }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / (2 * hop)));
    const row = () => new Float64Array(size);
    this.spectra = Array.from({ length: streams + 1 }, () => ({ re: row(), im: row() })); // of the targets, then of the input
    this.masks = { keep: new Array(keep).fill(0), drop: new Array(streams - keep).fill(0) };
    this.reset();
  }

  reset() {
    const rows = (n) => Array.from({ length: n * this.channels }, () => new Float32Array(this.hop));
    this.past = rows(this.streams + 1); // the last hop of every target and of the input, channel by channel
    this.tail = rows(1); // what the last frame adds to the next hop
  }

  // One hop. targets: Float32Array [channels * hop] for each stream; dry: the same of the input. -> { target, dry }, a hop later.
  process(targets, dry) {
    const { hop, channels, streams } = this;
    const out = { target: new Float32Array(channels * hop), dry: new Float32Array(channels * hop) };
    for (let c = 0; c < channels; ++c) {
      out.dry.set(this.past[streams * channels + c], c * hop);
      [...targets, dry].forEach((signal, s) => this.analyse(signal.subarray(c * hop, (c + 1) * hop), this.past[s * channels + c], this.spectra[s]));
      this.mask();
      this.synthesise(this.tail[c], out.target.subarray(c * hop, (c + 1) * hop));
    }
    return out;
  }

  analyse(now, past, { re, im }) {
    const { hop, window } = this;
    re.fill(0);
    im.fill(0);
    for (let i = 0; i < hop; ++i) {
      re[i] = past[i] * window[i];
      re[hop + i] = now[i] * window[hop + i];
    }
    past.set(now);
    this.fft.forward(re, im);
  }

  // The input's spectrum becomes the output's.
  mask() {
    const { spectra, streams, keep, masks, fft } = this, { re, im } = spectra[streams];
    for (let k = 0; k <= fft.size / 2; ++k) {
      const power = re[k] * re[k] + im[k] * im[k] + 1e-20;
      for (let s = 0; s < streams; ++s) {
        const share = (spectra[s].re[k] * re[k] + spectra[s].im[k] * im[k]) / power;
        const mask = Math.max(0, Math.min(1, share));
        if (s < keep) masks.keep[s] = mask;
        else masks.drop[s - keep] = mask;
      }
      const gain = unionGain(masks.keep, masks.drop), mirror = (fft.size - k) % fft.size;
      re[k] *= gain;
      im[k] *= gain;
      re[mirror] = re[k];
      im[mirror] = -im[k];
    }
    im[0] = im[fft.size / 2] = 0;
  }

  synthesise(tail, out) {
    const { hop, window, fft } = this, { re, im } = this.spectra[this.streams];
    fft.forward(im, re);
    for (let i = 0; i < hop; ++i) {
      out[i] = tail[i] + (re[i] * window[i]) / fft.size;
      tail[i] = (re[hop + i] * window[hop + i]) / fft.size;
    }
  }
}
