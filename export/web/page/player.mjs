// Input and output on one transport: both play from the same moment, and their gains say which of them is heard.

const FADE_SECONDS = 0.02;

export class Player {
  constructor(onended) {
    Object.assign(this, { onended, context: null, sources: [], at: 0, duration: 0, playing: false, gains: [0, 1] });
  }

  // rows: { target, dry }, each a list of Float32Array or null; the place where it plays is kept.
  load({ target, dry }, rate, keepPlace) {
    const place = keepPlace ? this.position : 0, playing = keepPlace && this.playing;
    this.pause();
    this.signals = [target, dry];
    this.rate = rate;
    this.duration = dry[0].length / rate;
    this.at = Math.min(place, this.duration);
    if (playing) this.play();
  }

  // [a, b]: what is heard is a * target + b * dry.
  mix(gains) {
    this.gains = gains;
    this.nodes?.forEach((node, i) => node.gain.setTargetAtTime(gains[i], this.context.currentTime, FADE_SECONDS / 3));
  }

  get position() {
    return this.playing ? Math.min(this.duration, this.at + Math.max(0, this.context.currentTime - this.begun)) : this.at;
  }

  play() {
    if (!this.signals || this.playing) return;
    this.context ??= new AudioContext();
    this.context.resume();
    if (this.at >= this.duration) this.at = 0;
    this.begun = this.context.currentTime + 0.02;
    this.nodes = this.signals.map((rows, i) => this.chain(rows, this.gains[i]));
    this.playing = true;
  }

  chain(rows, gain) {
    const node = new GainNode(this.context, { gain });
    node.connect(this.context.destination);
    if (!rows) return node;
    const buffer = new AudioBuffer({ length: rows[0].length, numberOfChannels: rows.length, sampleRate: this.rate });
    rows.forEach((row, c) => buffer.copyToChannel(row, c));
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(node);
    source.onended = () => this.ended(source);
    source.start(this.begun, this.at);
    this.sources.push(source);
    return node;
  }

  ended(source) {
    if (!this.sources.includes(source)) return;
    this.pause();
    this.at = this.duration;
    this.onended();
  }

  pause() {
    this.at = this.position;
    this.playing = false;
    for (const source of this.sources.splice(0)) source.stop();
    this.nodes?.forEach((node) => node.disconnect());
    this.nodes = null;
  }

  seek(seconds) {
    const playing = this.playing;
    this.pause();
    this.at = Math.max(0, Math.min(this.duration, seconds));
    if (playing && this.at < this.duration) this.play();
  }
}
