// The audio thread: collects quanta into hops for the model's thread and plays what comes back. Nothing is computed here.

class MarssepIo extends AudioWorkletProcessor {
  constructor({ processorOptions: { hop, slack } }) {
    super();
    this.hop = hop;
    this.filling = new Float32Array(hop);
    this.filled = 0;
    this.ready = []; // hops to be played
    this.at = 0;
    this.silence = hop + slack; // played first: what collecting a hop and the model's thread may take
    this.owed = 0; // samples that came too late: thrown away when they come, so that latency stays
    this.missed = 0;
    this.port.onmessage = ({ data }) => {
      if (data.port) {
        this.model = data.port;
        this.model.onmessage = ({ data: hopOut }) => this.ready.push(hopOut);
      } else if (data.stop) {
        this.stopped = true;
      }
    };
  }

  take() {
    while (this.ready.length) {
      if (this.at >= this.ready[0].length) {
        this.ready.shift();
        this.at = 0;
        continue;
      }
      const value = this.ready[0][this.at++];
      if (this.owed === 0) return value;
      --this.owed;
    }
    return null;
  }

  process([input], [output]) {
    if (this.stopped) return false;
    const out = output[0];
    for (let i = 0; i < out.length; ++i) {
      this.filling[this.filled++] = input.length ? input.reduce((sum, row) => sum + row[i], 0) / input.length : 0;
      if (this.filled === this.hop) {
        this.model?.postMessage(this.filling, [this.filling.buffer]);
        this.filling = new Float32Array(this.hop);
        this.filled = 0;
      }
      let value = 0;
      if (this.silence > 0) {
        --this.silence;
      } else {
        value = this.take();
        if (value === null) {
          value = 0;
          ++this.owed;
          if (++this.missed % 480 === 1) this.port.postMessage({ missed: this.missed });
        }
      }
      out[i] = value;
    }
    for (let c = 1; c < output.length; ++c) output[c].set(out);
    return true;
  }
}

registerProcessor("marssep-io", MarssepIo);
