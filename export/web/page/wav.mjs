// Rows of samples -> a WAV file of 32-bit floats.

export function wav(rows, rate) {
  const channels = rows.length, frames = rows[0].length, size = frames * channels * 4;
  const view = new DataView(new ArrayBuffer(44 + size));
  const words = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  words(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  words(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 3, true); // IEEE float
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * channels * 4, true);
  view.setUint16(32, channels * 4, true);
  view.setUint16(34, 32, true);
  words(36, "data");
  view.setUint32(40, size, true);
  for (let i = 0, at = 44; i < frames; ++i) for (const row of rows) view.setFloat32((at += 4) - 4, row[i], true);
  return new Blob([view], { type: "audio/wav" });
}
