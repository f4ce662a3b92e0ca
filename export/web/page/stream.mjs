// One stream through the graph: hops in, hops out, the state in between. No page, no audio device.

export class Stream {
  // card: hop, latency, states; session: an InferenceSession of separator.onnx
  constructor(ort, session, card, channels) {
    Object.assign(this, { ort, session, card, channels });
    this.reset();
  }

  reset() {
    const sizes = { B: 1, C: this.channels };
    this.state = {};
    for (const [name, shape] of Object.entries(this.card.states)) {
      const numbers = shape.map((d) => sizes[d] ?? d);
      this.state[name] = new this.ort.Tensor("float32", new Float32Array(numbers.reduce((a, b) => a * b, 1)), numbers);
    }
    this.past = new Float32Array(this.channels * this.card.latency); // what the delayed input still waits for
  }

  // audio: Float32Array [channels * n * hop], a row for each channel; query: unit vector. -> { target, dry }, dry the input as late as the target.
  async run(audio, query) {
    const { ort, card, channels } = this;
    const n = audio.length / channels;
    for (let i = 0; i < audio.length; ++i) if (!Number.isFinite(audio[i])) audio[i] = 0;
    const vectors = { query: new ort.Tensor("float32", query, [1, query.length]) };
    // what to push away: zeros, nothing is known of it
    if (this.session.inputNames.includes("other")) vectors.other = new ort.Tensor("float32", new Float32Array(query.length), [1, query.length]);
    const result = await this.session.run({ audio: new ort.Tensor("float32", audio, [1, channels, n]), ...vectors, ...this.state });
    for (const name of Object.keys(card.states)) this.state[name] = result[`${name}_next`];
    const dry = new Float32Array(audio.length);
    const late = card.latency;
    for (let c = 0; c < channels; ++c) {
      const line = new Float32Array(late + n);
      line.set(this.past.subarray(c * late, (c + 1) * late));
      line.set(audio.subarray(c * n, (c + 1) * n), late);
      dry.set(line.subarray(0, n), c * n);
      this.past.set(line.subarray(n), c * late);
    }
    return { target: result.target.data, dry };
  }
}

// What is heard: the target, everything else, or all.
export function mixed({ target, dry }, mode) {
  if (mode === "bypass") return dry;
  return mode === "residual" ? dry.map((x, i) => x - target[i]) : Float32Array.from(target);
}

export function energy(x) {
  let sum = 0;
  for (const value of x) sum += value * value;
  return sum;
}
