// What the page says of itself, from its state alone. An error is part of the state and goes with the next thing that the user does.

import { inWords } from "./language.mjs";

const MB = 1e6;

// The status line. state: { loading, failed, error, wish, far, limits, own, source, busy, done, live } -> { words, kind }; kind: busy, ready, warning, error.
//   loading: { got, total } while the model loads; failed: why it never will; wish: what is asked for; far: { words: nearest labels };
//   limits: { words: attenuation limit in dB }, of doubted words; own: { words: nearest word }, of one person's voice; source: name of the sound;
//   busy: share of the separation that is done, or null; done: whether its result is there; live: whether the microphone runs
export function statusOf({ loading, failed, error, wish, far, limits, own, source, busy, done, live }) {
  const working = busy !== null && busy !== undefined;
  if (failed) return { words: `The model cannot be loaded: ${failed}. Reload the page to try again.`, kind: "error" };
  if (error) return { words: error.replace(/(?<![.!?])$/, "."), kind: "error" };
  if (loading) return { words: loadingWords(loading), kind: "busy" };
  if (!wish) return { words: source ? `Now say what you want to hear in ${source}.` : "Ready. Say what you want to hear.", kind: "ready" };
  const asked = inWords(wish), warnings = wish.keep.map((words) => doubtWords(words, far?.[words], limits?.[words], own?.[words])).filter(Boolean);
  let now = `Query: ${asked}. Now choose a sound`;
  if (working) now = `Separating ${source}: ${asked}`;
  else if (live) now = `Listening for: ${asked}`;
  else if (done) now = `Done: ${asked}, in ${source}`;
  return { words: [now, ...warnings].join(". ") + ".", kind: warnings.length ? "warning" : working ? "busy" : "ready" };
}

// Why buttons are grey, or null where they are not. lacking: why there is no microphone here, or null.
export function reasons({ loading, failed, wish, live, lacking }) {
  const wait = failed ? "There is no model." : loading ? "The model is still loading." : null;
  return {
    sources: wait ?? (live ? "Stop the microphone to use a file or the demo." : null),
    microphone: live ? null : lacking ?? wait ?? (wish ? null : "The microphone waits until you have said what you want to hear."),
  };
}

function loadingWords({ got, total }) {
  if (!got) return "Loading the model ...";
  return total ? `Loading the model: ${(got / MB).toFixed(0)} of ${(total / MB).toFixed(0)} MB ...` : `Loading the model: ${(got / MB).toFixed(0)} MB ...`;
}

// near: the nearest labels to words that are far from all of them; limit: the attenuation limit of words that are doubted; nearest: the word
// for one person's voice; or undefined.
function doubtWords(words, near, limit, nearest) {
  const doubt = farWords(words, near, limit) ?? (nearest ? `“${words}” is every ${nearest} to the model` : "");
  return limit === undefined ? doubt : `${doubt}; at a strength of 100 % it attenuates by at most ${limit} dB`;
}

// Words that are far from what the model knows; undefined for others.
function farWords(words, near, limit) {
  if (near) return `“${words}” is unlike every sound that the model was trained on; the nearest are ${near.join(", ")}; expect a poor separation`;
  return limit === undefined ? undefined : `“${words}” is unlike the sounds that the model was trained on`;
}

// What a .query file of words carries beside their vector, as marssep_rt/query/query_file.py writes it: the attenuation limit of words that
// are doubted, and a warning.
export function carried(words, near, limit, nearest) {
  const doubt = farWords(words, near, limit);
  if (limit !== undefined) return { limit_db: limit, warnings: [`${doubt}; it attenuates by at most ${limit} dB unless a limit is set`] };
  if (doubt) return { warnings: [doubt] };
  return nearest ? { warnings: [`“${words}” is every ${nearest} to the model; a recording may tell it from others: --audio FILE`] } : {};
}

// That no sound of the query is there.
export const nothingWords = (output) => (output === "residual" ? "There is hardly anything to remove." : "Nothing matches your query.");

// How well the sounds were found in a file. presences: { words: 0..1 }; threshold: from here on a sound counts as present.
export function presenceWords(presences, threshold, output) {
  const found = Object.entries(presences).map(([words, p]) => `${words} ${p.toFixed(2)}${p < threshold ? " (hardly there)" : ""}`);
  const nothing = Object.values(presences).every((p) => p < threshold);
  return `${nothing ? `${nothingWords(output)} ` : ""}Presence: ${found.join(", ")}`;
}

// The output's level against the input's, in dB. Most of the input stays in a residual, so tenths count there.
export function levelWords(db, output) {
  const n = Number(Math.abs(db).toFixed(output === "residual" ? 1 : 0));
  if (db <= -100) return "Output level: silence";
  return n === 0 ? "Output level: as the input" : `Output level: ${n} dB ${db < 0 ? "below" : "above"} the input`;
}
