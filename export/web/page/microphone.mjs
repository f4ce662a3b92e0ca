// The microphone: its stream, the audio context and the worklet.

// A context at the model's rate, or, where the browser takes the microphone only at its own rate (Firefox), one at that rate.
async function connected(stream, rate) {
  let failure;
  for (const options of [{ sampleRate: rate }, {}]) {
    const context = new AudioContext({ ...options, latencyHint: "interactive" });
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch (error) {
      failure = error;
      await context.close();
    }
  }
  throw failure;
}

export class Microphone {
  // hop and slack in samples, rate: the model's in Hz; onmissed(samples): samples came too late; onlost(): the device is gone
  constructor({ hop, slack, rate, onmissed, onlost }) {
    Object.assign(this, { hop, slack, rate, onmissed, onlost });
  }

  // Resolves to a port that the model's thread answers.
  async start() {
    const { hop, slack, rate } = this;
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
    });
    try {
      const { context, source } = await connected(this.stream, rate);
      this.context = context;
      await context.audioWorklet.addModule(new URL("./worklet.mjs", import.meta.url));
      this.node = new AudioWorkletNode(context, "marssep-io", { processorOptions: { hop, slack, rate, deviceRate: context.sampleRate } });
      this.node.port.onmessage = ({ data }) => this.onmissed(data.missed);
      for (const track of this.stream.getTracks()) track.onended = () => this.onlost();
      const { port1, port2 } = new MessageChannel();
      this.node.port.postMessage({ port: port1 }, [port1]);
      source.connect(this.node).connect(context.destination);
      return port2;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop() {
    this.node?.port.postMessage({ stop: true });
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context && this.context.state !== "closed") await this.context.close();
  }
}
