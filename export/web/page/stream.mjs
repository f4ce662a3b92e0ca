// One input through the graph, once for every query: hops in, hops out, the state in between. No page, no audio device.

import { energy } from "./mixer.mjs";
import { PresenceMeter } from "./presence.mjs";
import { Union } from "./union.mjs";

// Parallel streams of one input: the graph's batch axis.
export class Stream {
  // card: hop, latency, states; session: an InferenceSession of separator.onnx; queries: unit vectors, one for every stream; also, drop: numbers
  // of the streams whose masks are united with that of the first one and taken out of it, by a graph that can
  constructor(ort, session, card, channels, queries, { also = [], drop = [] } = {}) {
    Object.assign(this, { ort, session, card, channels, count: queries.length });
    const tensor = (vectors) => new ort.Tensor("float32", joined(vectors), [vectors.length, vectors[0].length]);
    this.vectors = { query: tensor(queries) };
    // as in the runtime, what to leave out is left out by its own mask, and the streams of what is kept know of it
    if (session.inputNames.includes("other")) this.vectors.other = tensor(others(queries, session.inputNames.includes("drop") ? drop : []));
    for (const [name, streams] of Object.entries({ also, drop })) {
      if (!session.inputNames.includes(name)) continue;
      const matrix = new Float32Array(this.count * this.count);
      for (const stream of streams) matrix[stream] = 1; // in the first row
      this.vectors[name] = new ort.Tensor("float32", matrix, [this.count, this.count]);
    }
    this.reset();
  }

  reset() {
    const sizes = { B: this.count, C: this.channels };
    this.state = {};
    for (const [name, shape] of Object.entries(this.card.states)) {
      const numbers = shape.map((d) => sizes[d] ?? d);
      this.state[name] = new this.ort.Tensor("float32", new Float32Array(numbers.reduce((a, b) => a * b, 1)), numbers);
    }
    this.past = new Float32Array(this.channels * this.card.latency); // what the delayed input still waits for
  }

  // audio: Float32Array [channels * n * hop], a row for each channel. -> { targets, dry }, dry the input as late as the targets.
  async run(audio) {
    const { ort, card, channels, count } = this;
    const n = audio.length / channels;
    for (let i = 0; i < audio.length; ++i) if (!Number.isFinite(audio[i])) audio[i] = 0;
    const all = count === 1 ? audio : joined(Array(count).fill(audio));
    const result = await this.session.run({ audio: new ort.Tensor("float32", all, [count, channels, n]), ...this.vectors, ...this.state });
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
    const heard = result.target.data;
    return { targets: Array.from({ length: count }, (_, s) => heard.slice(s * channels * n, (s + 1) * channels * n)), dry };
  }
}

// What else is there, for each stream: the normalised mean of the vectors that are dropped; zeros for those themselves, and where none are.
export function others(queries, drop) {
  const none = new Float32Array(queries[0].length);
  if (!drop.length) return queries.map(() => none);
  const other = middle(drop.map((stream) => queries[stream]));
  return queries.map((_, stream) => (drop.includes(stream) ? none : other));
}

// A vector of length one; zeros stay zeros.
export function unit(vector) {
  const norm = Math.sqrt(energy(vector)) || 1;
  return vector.map((x) => x / norm);
}

// The normalised mean of unit vectors.
export function middle(vectors) {
  return unit(vectors[0].map((_, k) => vectors.reduce((sum, vector) => sum + vector[k], 0)));
}

// The separation by one wish: a stream for every sound that it names. The graph puts their masks together in the first one; of an older graph
// the union measures the masks on what the streams let through.
export class Separation {
  // keep, drop: unit vectors of the sounds to keep and to leave out
  constructor(ort, session, card, channels, { keep, drop }) {
    Object.assign(this, { card, channels });
    const mixes = session.inputNames.includes("also"), several = keep.length + drop.length > 1;
    // the presence of each sound is measured on its own target, and the first stream's is that of all
    const again = mixes && keep.length > 1 ? [keep[0]] : [];
    const numbers = (list, from) => list.map((_, i) => from + i);
    const mixing = { also: numbers(keep.slice(1), 1), drop: numbers(drop, keep.length) };
    this.stream = new Stream(ort, session, card, channels, [...keep, ...drop, ...again], mixing);
    this.own = keep.map((_, i) => (i === 0 && again.length ? this.stream.count - 1 : i)); // the streams of the sounds to keep
    this.union = several && !mixes ? new Union(keep.length, this.stream.count, channels, card.hop) : null;
    this.latency = card.latency + (this.union?.latency ?? 0);
    this.meters = keep.map(() => new PresenceMeter(card.presence, card.hop, card.sample_rate));
  }

  reset() {
    this.stream.reset();
    this.union?.reset();
  }

  // audio: Float32Array [channels * n * hop] -> { target, dry }, both ``latency`` samples later.
  async run(audio) {
    const { targets, dry } = await this.stream.run(audio), { channels, union } = this, { hop } = this.card;
    const n = audio.length / channels;
    const out = union ? { target: new Float32Array(audio.length), dry: new Float32Array(audio.length) } : { target: targets[0], dry };
    for (let at = 0; at < n; at += hop) {
      const [input, ...heard] = [dry, ...targets].map((signal) => piece(signal, channels, at, hop));
      this.meters.forEach((meter, i) => meter.add(energy(heard[this.own[i]]) / heard[i].length, energy(input) / input.length));
      if (!union) continue;
      const united = union.process(heard, input);
      for (const name of ["target", "dry"])
        for (let c = 0; c < channels; ++c) out[name].set(united[name].subarray(c * hop, (c + 1) * hop), c * n + at);
    }
    return out;
  }

  // 0..1 for every sound to keep.
  presences() {
    return this.meters.map((meter) => meter.presence());
  }
}

// Samples at..at+n of every channel's row.
function piece(signal, channels, at, n) {
  const out = new Float32Array(channels * n), length = signal.length / channels;
  for (let c = 0; c < channels; ++c) out.set(signal.subarray(c * length + at, c * length + at + n), c * n);
  return out;
}

export function joined(parts) {
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
