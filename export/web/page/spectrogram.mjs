// A spectrogram on a canvas: log frequency from 50 Hz to 16 kHz upwards, 80 dB from dark to bright.

const SIZE = 2048;

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; ++i) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    const angle = (-2 * Math.PI) / size;
    for (let first = 0; first < n; first += size)
      for (let k = 0; k < size / 2; ++k) {
        const c = Math.cos(angle * k), s = Math.sin(angle * k), a = first + k, b = a + size / 2;
        const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
  }
}

export function draw(canvas, samples, rate) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const window = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
  for (let x = 0; x < width; ++x) {
    const re = new Float32Array(SIZE), im = new Float32Array(SIZE);
    const start = Math.round((x / width) * samples.length - SIZE / 2);
    for (let i = 0; i < SIZE; ++i) re[i] = (samples[start + i] ?? 0) * window[i];
    fft(re, im);
    for (let y = 0; y < height; ++y) {
      const frequency = 50 * (16000 / 50) ** (1 - y / height), bin = Math.min(SIZE / 2 - 1, Math.round((frequency * SIZE) / rate));
      const db = 10 * Math.log10((re[bin] ** 2 + im[bin] ** 2) / (SIZE / 4) ** 2 + 1e-12);
      const v = Math.max(0, Math.min(1, (db + 90) / 80));
      image.data.set([255 * Math.min(1, 2 * v), 255 * Math.max(0, 2 * v - 0.7) * 0.77, 255 * v * v * v, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}
