// The page: what is asked for, in which sound, and where it goes. What sounds is in worker.mjs.

import { FORMATS, LATENCY, QUERY } from "./contract.mjs";
import { demoSound } from "./demo.mjs";
import { inWords, understand } from "./language.mjs";
import { Microphone } from "./microphone.mjs";
import { strengthSettings } from "./mixer.mjs";
import { slug } from "./names.mjs";
import { Absence } from "./presence.mjs";
import { Results, save } from "./results.mjs";
import { carried, nothingWords, reasons, statusOf } from "./status.mjs";
import { microphoneRefused, noMicrophone } from "./support.mjs";
import { Words } from "./words.mjs";

const slack = () => LATENCY.page_extra_hops * model.hop; // samples that the model's thread may be late by in live use
const MOST_SOUNDS = QUERY.most_sounds;
const MOST_MINUTES = 30; // of a file: input and output lie in memory
const DEMO = { name: "demo.wav", seconds: 8, query: "dog barking" };
const $ = (id) => document.getElementById(id);
const worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
const results = new Results($);
const lacking = noMicrophone({
  secure: window.isSecureContext,
  microphone: Boolean(navigator.mediaDevices?.getUserMedia),
  worklet: Boolean(window.AudioWorkletNode),
});
// see statusOf; source: { name, rows }; residual: whether the sentence, not the user, chose the residual
const state = { loading: {}, error: null, wish: null, far: {}, limits: {}, own: {}, source: null, busy: null, done: false, live: false, residual: false, failed: null };
let typed = new Words(), model, microphone, absence, pending = null, applied = "", asked = 0, job = 0, lost = 0;
// typed: words that are no label; pending: a sentence that waits for the model; applied: the last sentence; lost: samples that came too late

function ask(type, more = {}, moved = []) {
  worker.postMessage({ type, ...more }, moved);
}

// Something new is done: an earlier error is over.
function change(values) {
  Object.assign(state, { error: null }, values);
  render();
}

function fail(words) {
  change({ error: words });
}

function render() {
  const { words, kind } = statusOf({ ...state, source: state.source?.name });
  if ($("status").textContent !== words) $("status").textContent = words;
  $("status").className = kind;
  $("progress").hidden = state.busy === null;
  $("progress").value = state.busy ?? 0;
  $("live").hidden = !state.live;
  $("empty").hidden = state.live || state.source !== null;
  const why = reasons({ ...state, lacking });
  $("file").disabled = $("demo").disabled = why.sources !== null;
  $("microphone").disabled = why.microphone !== null;
  $("sources-reason").textContent = why.sources ?? "";
  $("microphone-reason").textContent = why.microphone ?? "";
}

function settings() {
  const percent = Number($("strength").value), limits = Object.values(state.limits);
  const settings = { output: document.querySelector("input[name=output]:checked").value, ...strengthSettings(percent) };
  // of doubted words, where the user asks for nothing else
  return percent === 100 && limits.length ? { ...settings, limitDb: Math.min(...limits) } : settings;
}

function settingsChanged() {
  $("strength").ariaValueText = $("strength-value").textContent = `${$("strength").value} %`;
  ask("settings", { value: settings() });
  results.set(settings());
  if (state.error) change({});
}

function choose(output) {
  document.querySelector(`input[name=output][value=${output}]`).checked = true;
  settingsChanged();
}

// A sentence becomes the query, once the model is there.
function query(sentence) {
  applied = sentence;
  if (!sentence.trim()) return fail("Say what you want to hear");
  let wish;
  try {
    wish = typed.resolved(understand(sentence));
  } catch (error) {
    return fail(error.message);
  }
  const count = wish.keep.length + wish.drop.length;
  if (count > MOST_SOUNDS) return fail(`That names ${count} sounds; ${MOST_SOUNDS} at once work`);
  change({});
  if (model) ask("query", { wish, number: ++asked });
  else pending = sentence;
}

// The sound, separated by the query: from the start, whatever is being done.
function separate() {
  if (!state.source || !state.wish || state.live) return;
  results.wait();
  ask("file", { rows: state.source.rows, number: ++job });
  change({ busy: 0, done: false });
}

function open(name, rows) {
  results.open(name, rows, model.rate);
  change({ source: { name, rows }, done: false });
}

// A sound that was chosen, by the query: the one in the field, even if it was not applied yet.
function proceed() {
  const sentence = $("query").value;
  if (sentence.trim() && sentence !== applied) query(sentence);
  else separate();
}

function showResult(target, presences) {
  const { keep } = state.wish;
  results.show(target, Object.fromEntries(keep.map((words, i) => [words, presences[i]])), inWords({ ...state.wish, remove: false }));
  change({ busy: null, done: true });
  reveal($("results"));
}

function reveal(element) {
  element.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// The query's vectors as files for the plug-in and the commands, one for each sound.
function offerQueries(keep, vectors, { far, limits, own }) {
  $("queries").hidden = false;
  $("query-files").replaceChildren(
    ...keep.map((words, i) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: `Save the query “${words}”` });
      const sound = { format: FORMATS.query_of_sounds, encoder: model.encoder, dim: vectors[i].length, label: words, vector: [...vectors[i]] };
      const kept = { ...sound, ...carried(words, far[words], limits[words], own[words]) };
      button.addEventListener("click", () => save(new Blob([JSON.stringify(kept)], { type: "application/json" }), `${slug(words)}${FORMATS.query_suffix}`));
      return button;
    }),
  );
}

const answers = {
  loading({ got, total }) {
    state.loading = { got, total };
    render();
  },
  ready(data) {
    model = data;
    typed = new Words(data.words);
    $("known").replaceChildren(...data.sounds.map((value) => Object.assign(document.createElement("option"), { value })));
    change({ loading: null });
    const first = pending ?? new URLSearchParams(location.search).get("query");
    if (!first) return;
    $("query").value = first;
    query(first);
  },
  query({ number, wish, vectors, far, limits, own }) {
    if (number !== asked) return;
    offerQueries(wish.keep, vectors, { far, limits, own });
    const { residual } = state;
    absence = new Absence();
    change({ wish, far, limits, own, residual: wish.remove });
    if (wish.remove) choose("residual");
    else if (residual && settings().output === "residual") choose("target");
    else settingsChanged();
    separate();
  },
  progress({ part }) {
    if (state.busy === null) return;
    state.busy = part;
    render();
  },
  separated({ number, target, presences }) {
    if (number === job) showResult(target, presences);
  },
  recorded({ input, target, presences }) {
    if (!input[0].length) return fail("The recording is too short");
    open("recording.wav", input);
    showResult(target, presences);
  },
  meters({ input, output, presences, latency, hop_ms: hop }) {
    if (!state.live) return;
    if (state.error) change({});
    const presence = Math.max(...presences), late = ((latency + model.hop + slack()) / model.rate) * 1000;
    const missing = lost ? `; this computer was too slow for ${((1000 * lost) / model.rate).toFixed(0)} ms in all, which are silent` : "";
    for (const [id, value, words] of [
      ["level-in", input, `${input.toFixed(0)} dBFS`],
      ["level-out", output, `${output.toFixed(0)} dBFS`],
      ["presence", presence, presence.toFixed(2)],
    ]) {
      $(id).value = value;
      $(id).ariaValueText = $(`${id}-value`).textContent = words;
    }
    const unmatched = absence.add(performance.now() / 1000, input, presence) && settings().output !== "bypass";
    $("unmatched").textContent = unmatched ? nothingWords(settings().output) : "";
    $("timing").textContent = `Latency: ${late.toFixed(0)} ms on this page; ${hop.toFixed(1)} ms of work for every 10 ms of sound${missing}`;
  },
  error({ words }) {
    if (model) change({ busy: null, error: `That did not work: ${words}` });
    else change({ failed: words });
  },
};

worker.onmessage = ({ data }) => answers[data.type](data);
worker.onerror = (event) => change({ failed: event.message ?? "this browser cannot run it" });

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  query($("query").value);
});
$("query").addEventListener("input", () => state.error && change({}));
$("examples").addEventListener("click", ({ target }) => {
  if (target.tagName !== "BUTTON") return;
  $("query").value = target.textContent;
  query(target.textContent);
});
for (const radio of document.querySelectorAll("input[name=output]"))
  radio.addEventListener("change", () => {
    state.residual = false;
    settingsChanged();
  });
$("strength").addEventListener("input", settingsChanged);

function pressed(button, on, words) {
  button.setAttribute("aria-pressed", String(on));
  button.textContent = words;
}

async function startMicrophone() {
  microphone = new Microphone({
    hop: model.hop,
    slack: slack(),
    rate: model.rate,
    onmissed: (samples) => (lost = samples),
    onlost: () => stopMicrophone().then(() => fail("The microphone was disconnected")),
  });
  lost = 0;
  absence = new Absence();
  const port = await microphone.start();
  ask("cancel");
  ask("live", { port }, [port]);
  results.close();
  change({ live: true, busy: null, done: false, source: null });
  reveal($("live"));
}

async function stopMicrophone() {
  if ($("record").getAttribute("aria-pressed") === "true") finishRecording();
  ask("stopped");
  change({ live: false });
  await microphone.stop();
}

$("microphone").addEventListener("click", async () => {
  const on = !state.live;
  try {
    await (on ? startMicrophone() : stopMicrophone());
  } catch (error) {
    fail(microphoneRefused(error));
  }
  pressed($("microphone"), state.live, state.live ? "Stop the microphone" : "Start the microphone");
});

function finishRecording() {
  pressed($("record"), false, "Record");
  ask("recorded");
}

$("record").addEventListener("click", () => {
  if ($("record").getAttribute("aria-pressed") === "true") return finishRecording();
  pressed($("record"), true, "Stop recording");
  ask("record");
});

async function openFile(file) {
  change({});
  try {
    const decoder = new OfflineAudioContext(1, 1, model.rate); // decodes to the model's rate
    const sound = await decoder.decodeAudioData(await file.arrayBuffer());
    if (sound.numberOfChannels > 2) return fail(`${file.name} has ${sound.numberOfChannels} channels; mono and stereo work`);
    if (sound.duration > 60 * MOST_MINUTES)
      return fail(`${file.name} is ${Math.round(sound.duration / 60)} minutes long; the page takes ${MOST_MINUTES}, “marssep file” any length`);
    open(file.name, Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c).slice()));
    proceed();
  } catch {
    fail(`${file.name} is no sound that this browser can read`);
  }
}

$("file").addEventListener("change", () => {
  if ($("file").files[0]) openFile($("file").files[0]);
  $("file").value = ""; // or the same file chosen again would be no change
});
for (const type of ["dragover", "dragleave", "drop"])
  addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", type === "dragover");
    if (type !== "drop" || !event.dataTransfer.files[0]) return;
    const why = reasons({ ...state, lacking }).sources;
    if (why) fail(why);
    else openFile(event.dataTransfer.files[0]);
  });

$("demo").addEventListener("click", () => {
  open(DEMO.name, [demoSound(DEMO.seconds, model.rate)]);
  if (!state.wish) $("query").value ||= DEMO.query;
  proceed();
});

render();
ask("load");
