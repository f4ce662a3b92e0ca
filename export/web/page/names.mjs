// Names of files, and times in words.

export function slug(words) {
  return words.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "query";
}

// meeting.mp3, dog barking -> meeting.dog-barking.wav; the residual: meeting.without-dog-barking.wav.
export function outputName(name, sounds, output) {
  const stem = name.replace(/\.[^.\s]{1,5}$/u, "") || name;
  if (output === "bypass") return `${stem}.wav`;
  return `${stem}.${output === "residual" ? "without-" : ""}${slug(sounds)}.wav`;
}

// Seconds -> 0:07 or 1:02:03.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds)), two = (x) => String(x).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
