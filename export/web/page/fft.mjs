// The discrete Fourier transform of a power of two, in place, with tables made once.

export class Fft {
  constructor(size) {
    this.size = size;
    this.cos = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, k) => Math.sin((-2 * Math.PI * k) / size));
    const bits = Math.log2(size);
    this.reversed = Uint32Array.from({ length: size }, (_, i) => {
      let r = 0;
      for (let b = 0; b < bits; ++b) if (i & (1 << b)) r |= 1 << (bits - 1 - b);
      return r;
    });
  }

  // re, im: arrays of ``size`` numbers. The inverse is the forward transform with re and im exchanged, and without the factor 1/size.
  forward(re, im) {
    const { size: n, cos, sin, reversed } = this;
    for (let i = 0; i < n; ++i) {
      const j = reversed[i];
      if (i >= j) continue;
      let t = re[i];
      re[i] = re[j];
      re[j] = t;
      t = im[i];
      im[i] = im[j];
      im[j] = t;
    }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2, step = n / size;
      for (let first = 0; first < n; first += size)
        for (let k = 0; k < half; ++k) {
          const c = cos[k * step], s = sin[k * step], a = first + k, b = a + half;
          const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
    }
  }
}
