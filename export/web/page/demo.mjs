// The demo sound, made here: bark-like bursts, a siren, a plucked string and rain-like noise, as in demo_signals.py of the runtime.

// Numbers 0..1 that are the same on every visit (mulberry32).
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// A resonance at ``hz``: two poles, two zeros, gain one at the peak.
function resonance(x, hz, q, rate) {
  const w = (2 * Math.PI * hz) / rate, beta = Math.tan(w / 2 / q), gain = 1 / (1 + beta);
  const out = new Float32Array(x.length);
  let x1 = 0, x2 = 0, y1 = 0, y2 = 0;
  for (let i = 0; i < x.length; ++i) {
    const y = (1 - gain) * (x[i] - x2) + 2 * gain * Math.cos(w) * y1 - (2 * gain - 1) * y2;
    [x2, x1, y2, y1] = [x1, x[i], y1, y];
    out[i] = y;
  }
  return out;
}

// A quarter of a second: a harmonic source that falls in pitch, with formants and breath noise.
function bark(rate, random) {
  const n = Math.floor(0.24 * rate), base = 380 + 80 * random();
  const source = new Float32Array(n);
  let phase = 0;
  for (let i = 0; i < n; ++i) {
    const t = i / rate;
    phase += (2 * Math.PI * base * (1 + 0.5 * Math.sin((Math.PI * t) / 0.24)) * Math.exp(-1.2 * t)) / rate;
    for (let h = 1; h < 16; ++h) source[i] += Math.sin(h * phase) / h ** 0.7;
    source[i] += 0.5 * normal(random);
  }
  const out = new Float32Array(n);
  for (const [hz, gain] of [[780, 1], [1500, 0.8], [2900, 0.3]]) resonance(source, hz, 2.5, rate).forEach((y, i) => (out[i] += gain * y));
  const peak = out.reduce((most, y) => Math.max(most, Math.abs(y)), 0);
  return out.map((y, i) => (y / peak) * Math.min(1, i / rate / 0.012) * Math.exp(-12 * Math.max(0, i / rate - 0.05)));
}

// Karplus and Strong's string (1983).
function pluck(rate, hz, seconds, random) {
  const period = Math.round(rate / hz), out = new Float32Array(Math.floor(seconds * rate));
  for (let i = 0; i < out.length; ++i) {
    const excitation = i < period ? 2 * random() - 1 : 0;
    out[i] = excitation + (i > period ? 0.498 * (out[i - period] + out[i - period - 1]) : 0);
  }
  return out;
}

function add(into, sound, first, gain) {
  for (let i = 0; i < sound.length && first + i < into.length; ++i) into[first + i] += gain * sound[i];
}

// The demo, mono: Float32Array [seconds * rate].
export function demoSound(seconds, rate) {
  const random = seeded(7), out = new Float32Array(Math.floor(seconds * rate));
  for (let at = 0.6; at < seconds - 0.3; at += 0.5 + 0.7 * random())
    for (let barks = 1 + Math.floor(3 * random()); barks > 0; --barks, at += 0.32 + 0.18 * random()) add(out, bark(rate, random), Math.floor(at * rate), 0.5);
  for (let note = 0; note * 0.5 < seconds; ++note) {
    const hz = 110 * 2 ** ([0, 7, 12, 16, 19, 16, 12, 7][note % 8] / 12);
    add(out, pluck(rate, hz, 1.5, random), Math.floor(note * 0.5 * rate), 0.18);
  }
  let phase = 0, hiss = 0, before = 0, drops = 0;
  for (let i = 0; i < out.length; ++i) {
    phase += (2 * Math.PI * (900 + 350 * Math.sin((2 * Math.PI * 0.35 * i) / rate))) / rate;
    out[i] += 0.09 * (Math.sin(phase) + 0.4 * Math.sin(2 * phase) + 0.25 * Math.sin(3 * phase));
    const white = normal(random);
    hiss = 0.2 * hiss + white - 0.6 * before;
    before = white;
    drops = 0.9 * drops + (random() < 0.002 ? normal(random) : 0);
    out[i] += 0.05 * hiss + 0.1 * drops;
  }
  return out.map((x) => Math.max(-1, Math.min(1, x)));
}
