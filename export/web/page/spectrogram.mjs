// A spectrogram on a canvas: log frequency upwards, 80 dB from dark to bright, with axes in Hz and seconds.

import { Fft } from "./fft.mjs";
import { clock } from "./names.mjs";

const SIZE = 2048;
const LOW_HZ = 50, HIGH_HZ = 16000;
const LEFT = 44, BOTTOM = 20; // CSS pixels of the axes
const COLOURS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]]; // from dark to bright

// Where a frequency stands: 0 at the bottom, 1 at the top.
export function heightOf(hz) {
  return Math.log(hz / LOW_HZ) / Math.log(HIGH_HZ / LOW_HZ);
}

export function hzAt(height) {
  return LOW_HZ * (HIGH_HZ / LOW_HZ) ** height;
}

export const FREQUENCY_TICKS = [100, 200, 500, 1000, 2000, 5000, 10000];

// Round times 0..seconds, at most ``most`` of them.
export function timeTicks(seconds, most) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = steps.find((s) => seconds / s <= most - 1) ?? steps.at(-1) * Math.ceil(seconds / steps.at(-1) / (most - 1));
  return Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, i) => Math.round(i * step * 10) / 10);
}

export function timeInWords(seconds, step) {
  return step < 1 ? `${seconds.toFixed(1)} s` : clock(seconds);
}

// 0..1 -> [red, green, blue].
export function colour(v) {
  const at = Math.max(0, Math.min(1, v)) * (COLOURS.length - 1), i = Math.min(COLOURS.length - 2, Math.floor(at));
  return COLOURS[i].map((c, k) => c + (COLOURS[i + 1][k] - c) * (at - i));
}

// The columns of a picture ``width`` x ``height``: 0..1 for every pixel, row by row from the top.
export function levels(samples, rate, width, height) {
  const fft = new Fft(SIZE), re = new Float64Array(SIZE), im = new Float64Array(SIZE), out = new Float32Array(width * height);
  const window = Float64Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
  const bins = Array.from({ length: height }, (_, y) => Math.min(SIZE / 2 - 1, Math.round((hzAt(1 - (y + 0.5) / height) * SIZE) / rate)));
  for (let x = 0; x < width; ++x) {
    const start = Math.round(((x + 0.5) / width) * samples.length - SIZE / 2);
    for (let i = 0; i < SIZE; ++i) re[i] = (samples[start + i] ?? 0) * window[i];
    im.fill(0);
    fft.forward(re, im);
    for (let y = 0; y < height; ++y) {
      const power = (re[bins[y]] ** 2 + im[bins[y]] ** 2) / (SIZE / 4) ** 2;
      out[y * width + x] = Math.max(0, Math.min(1, (10 * Math.log10(power + 1e-12) + 90) / 80));
    }
  }
  return out;
}

// The part of a canvas that shows sound, in CSS pixels: a click's x there is a share of the whole.
export function shareAt(canvas, x) {
  return Math.max(0, Math.min(1, (x - LEFT) / (canvas.clientWidth - LEFT)));
}

// A share of the whole -> its place in percent of the canvas's width.
export function placeOf(canvas, share) {
  return (100 * (LEFT + share * (canvas.clientWidth - LEFT))) / canvas.clientWidth;
}

export function draw(canvas, samples, rate) {
  const { clientWidth, clientHeight } = canvas, scale = Math.min(2, window.devicePixelRatio || 1);
  if (clientWidth <= LEFT) return;
  canvas.width = Math.round(clientWidth * scale);
  canvas.height = Math.round(clientHeight * scale);
  const context = canvas.getContext("2d"), width = canvas.width - Math.round(LEFT * scale), height = canvas.height - Math.round(BOTTOM * scale);
  const image = context.createImageData(width, height);
  levels(samples, rate, width, height).forEach((v, i) => image.data.set([...colour(v), 255], 4 * i));
  context.putImageData(image, canvas.width - width, 0);
  context.scale(scale, scale);
  axes(context, clientWidth, clientHeight, samples.length / rate, getComputedStyle(canvas));
}

function axes(context, width, height, seconds, { color, fontFamily }) {
  const bottom = height - BOTTOM;
  context.fillStyle = context.strokeStyle = color;
  context.font = `12px ${fontFamily}`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  let last = Infinity;
  for (const hz of FREQUENCY_TICKS) {
    const y = bottom * (1 - heightOf(hz));
    if (last - y < 16) continue;
    last = y;
    context.fillText(hz < 1000 ? hz : `${hz / 1000}k`, LEFT - 8, y);
    context.fillRect(LEFT - 5, y - 0.5, 5, 1);
  }
  context.fillText("Hz", LEFT - 8, bottom + BOTTOM / 2);
  const ticks = timeTicks(seconds, Math.max(2, Math.floor((width - LEFT) / 64)));
  for (const time of ticks) {
    const x = LEFT + (time / seconds) * (width - LEFT);
    context.textAlign = time === 0 ? "left" : x > width - 24 ? "right" : "center";
    context.fillText(timeInWords(time, ticks[1] ?? 1), Math.min(x, width), bottom + BOTTOM / 2 + 2);
    context.fillRect(Math.min(x, width - 1), bottom, 1, 4);
  }
}
