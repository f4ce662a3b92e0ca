// The audio thread: it collects quanta into hops for the model's thread and plays the hops that come back. It allocates nothing while it
// runs: hops travel in the buffers of a fixed pool, to the model's thread and back, and wait for their turn in a ring. Where the audio
// device's rate is not the model's, both ways are resampled.

import { Resampler } from "./resampler.mjs";

const POOL = 64; // hops that may be on their way; beyond that the model's thread is stuck, and input is dropped
const REPORT_EVERY = 480; // missed samples
const QUANTUM = 128; // samples a call

class MarssepIo extends AudioWorkletProcessor {
  // rate: the model's; deviceRate: that of the audio context
  constructor({ processorOptions: { hop, slack, rate, deviceRate = rate } }) {
    super();
    this.hop = hop;
    this.free = Array.from({ length: POOL }, () => new Float32Array(hop));
    this.filling = this.free.pop(); // null: there was no buffer for this hop
    this.filled = 0;
    this.ring = new Float32Array((POOL + 1) * hop + hop + slack);
    this.written = 0; // samples ever written to the ring, and read from it
    this.read = 0;
    this.silence = hop + slack; // played first: what collecting a hop and the model's thread may take
    this.owed = 0; // samples that came too late: thrown away when they come, so that latency stays; below zero: silence to insert
    this.missed = 0;
    this.mono = new Float32Array(QUANTUM);
    if (deviceRate !== rate) this.convert(deviceRate, rate);
    this.port.onmessage = ({ data }) => {
      if (data.port) {
        this.model = data.port;
        this.model.onmessage = ({ data: buffer }) => this.receive(buffer);
      } else if (data.stop) {
        this.stopped = true;
      }
    };
  }

  convert(deviceRate, rate) {
    this.toModel = new Resampler(deviceRate, rate, QUANTUM);
    this.modelIn = new Float32Array(this.toModel.most);
    this.modelOut = new Float32Array(this.toModel.most);
    this.toDevice = new Resampler(rate, deviceRate, this.toModel.most);
    this.waiting = new Float32Array(QUANTUM + 2 * this.toDevice.most); // resampled output that the device has not taken yet
    this.scratch = new Float32Array(this.toDevice.most);
    this.count = 0;
  }

  // A hop from the model's thread; its buffer is free again.
  receive(buffer) {
    if (this.ring.length - (this.written - this.read) >= buffer.length) {
      for (let i = 0; i < buffer.length; ++i) this.ring[(this.written + i) % this.ring.length] = buffer[i];
      this.written += buffer.length;
    }
    this.free.push(buffer);
  }

  // A whole hop: to the model's thread, or, where there is none yet or all buffers are on their way, nowhere.
  send() {
    if (this.filling !== null && this.model !== undefined) {
      this.model.postMessage(this.filling, [this.filling.buffer]);
      this.filling = null;
    } else {
      this.owed -= this.hop; // what is never sent never comes back
    }
    if (this.filling === null && this.free.length > 0) this.filling = this.free.pop();
    this.filled = 0;
  }

  // The mean of the channels, or silence.
  mix(input, n) {
    const channels = input.length;
    for (let i = 0; i < n; ++i) {
      let sum = 0;
      for (let c = 0; c < channels; ++c) sum += input[c][i];
      this.mono[i] = channels > 0 ? sum / channels : 0;
    }
  }

  collect(samples, n) {
    for (let i = 0; i < n; ++i) {
      if (this.filling !== null) this.filling[this.filled] = samples[i];
      if (++this.filled === this.hop) this.send();
    }
  }

  // The next sample to play.
  next() {
    if (this.silence > 0) {
      --this.silence;
      return 0;
    }
    if (this.owed < 0) {
      ++this.owed;
      return 0;
    }
    const late = Math.min(this.owed, this.written - this.read);
    this.read += late;
    this.owed -= late;
    if (this.read < this.written) return this.ring[this.read++ % this.ring.length];
    ++this.owed;
    if (++this.missed % REPORT_EVERY === 1) this.port.postMessage({ missed: this.missed });
    return 0;
  }

  // As many samples as came in at the model's rate go out; rounding up twice, the device never lacks one.
  resampled(out) {
    const n = this.toModel.process(this.mono, out.length, this.modelIn);
    this.collect(this.modelIn, n);
    for (let i = 0; i < n; ++i) this.modelOut[i] = this.next();
    const made = this.toDevice.process(this.modelOut, n, this.scratch);
    for (let i = 0; i < made; ++i) this.waiting[this.count + i] = this.scratch[i];
    this.count += made;
    for (let i = 0; i < out.length; ++i) out[i] = this.waiting[i];
    this.waiting.copyWithin(0, out.length, this.count);
    this.count -= out.length;
  }

  process([input], [output]) {
    if (this.stopped) return false;
    const out = output[0];
    this.mix(input, out.length);
    if (this.toModel) this.resampled(out);
    else {
      this.collect(this.mono, out.length);
      for (let i = 0; i < out.length; ++i) out[i] = this.next();
    }
    for (let c = 1; c < output.length; ++c) output[c].set(out);
    return true;
  }
}

registerProcessor("marssep-io", MarssepIo);
