// The page: controls, microphone, files, results. What sounds is in worker.mjs.

import { FORMATS, LATENCY } from "./contract.mjs";
import { draw } from "./spectrogram.mjs";
import { wav } from "./wav.mjs";

const slack = () => LATENCY.page_extra_hops * model.hop; // samples that the model's thread may be late by in live use
const $ = (id) => document.getElementById(id);
const worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
let model, context, node, source, listening = false, lost = 0; // samples that came too late

function say(words, error = false) {
  $("status").textContent = words;
  $("status").classList.toggle("error", error);
}

function ask(type, more = {}, moved = []) {
  worker.postMessage({ type, ...more }, moved);
}

const answers = {
  ready(data) {
    model = data;
    $("known").replaceChildren(...data.sounds.map((value) => Object.assign(document.createElement("option"), { value })));
    for (const id of ["query", "set"]) $(id).disabled = false;
    say("Ready. Say what you want to hear.");
    const asked = new URLSearchParams(location.search).get("query");
    if (asked) {
      $("query").value = asked;
      ask("query", { words: asked });
    }
  },
  listening({ words, vector, far }) {
    listening = true;
    const kept = { format: FORMATS.query, encoder: model.encoder, dim: vector.length, label: words, vector: [...vector] };
    $("save-query").href = URL.createObjectURL(new Blob([JSON.stringify(kept)], { type: "application/json" }));
    $("save-query").download = `${words.toLowerCase().replace(/[^a-z0-9]+/g, "-")}${FORMATS.query_suffix}`;
    $("save-query").hidden = false;
    for (const id of ["microphone", "file"]) $(id).disabled = false;
    const warning = far ? `. This is far from every sound that the model was trained on; the nearest are ${far.join(", ")}; expect a poor separation.` : "";
    say(`Listening for: ${words}${warning}`);
  },
  progress({ part }) {
    $("progress").value = part;
  },
  meters({ input, output, presence, hop_ms: hop }) {
    $("level-in").value = input;
    $("level-out").value = output;
    $("presence").value = presence;
    const late = ((model.latency + model.hop + slack()) / model.rate) * 1000;
    const missing = lost ? `; the computer was too slow for ${((1000 * lost) / model.rate).toFixed(0)} ms in all, which are silent` : "";
    $("timing").textContent =
      `${late.toFixed(0)} ms from input to output on this page; ${hop.toFixed(1)} ms of work for every ${((1000 * model.hop) / model.rate).toFixed(0)} ms of sound${missing}`;
  },
  separated({ input, output }) {
    $("progress").hidden = true;
    $("results").hidden = false;
    for (const [name, rows] of [["before", input], ["after", output]]) {
      draw($(name), rows[0], model.rate);
      const url = URL.createObjectURL(wav(rows, model.rate));
      $(`play-${name}`).src = url;
      $(`save-${name}`).href = url;
    }
    say("Done. The results are below.");
  },
  error({ words }) {
    $("progress").hidden = true;
    say(`That did not work: ${words}`, true);
  },
};

worker.onmessage = ({ data }) => answers[data.type](data);
worker.onerror = (event) => say(`The separator cannot run in this browser: ${event.message}`, true);

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("query").value.trim();
  if (words) ask("query", { words });
});

for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => ask("mode", { value: radio.value }));

async function start() {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
  });
  context = new AudioContext({ sampleRate: model.rate, latencyHint: "interactive" });
  await context.audioWorklet.addModule(new URL("./worklet.mjs", import.meta.url));
  source = context.createMediaStreamSource(stream);
  node = new AudioWorkletNode(context, "marssep-io", { processorOptions: { hop: model.hop, slack: slack() } });
  lost = 0;
  node.port.onmessage = ({ data }) => (lost = data.missed);
  const { port1, port2 } = new MessageChannel();
  node.port.postMessage({ port: port1 }, [port1]);
  ask("live", { port: port2 }, [port2]);
  source.connect(node).connect(context.destination);
}

async function stop() {
  if ($("record").getAttribute("aria-pressed") === "true") finishRecording();
  node.port.postMessage({ stop: true });
  for (const track of source.mediaStream.getTracks()) track.stop();
  await context.close();
}

function pressed(button, on, words) {
  button.setAttribute("aria-pressed", String(on));
  button.textContent = words;
}

$("microphone").addEventListener("click", async () => {
  const on = $("microphone").getAttribute("aria-pressed") !== "true";
  try {
    await (on ? start() : stop());
    pressed($("microphone"), on, on ? "Stop the microphone" : "Start the microphone");
    $("record").disabled = !on;
  } catch (error) {
    say(`The microphone cannot be used: ${error.message}`, true);
  }
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

async function separateFile(file) {
  if (!listening) return say("Say first what you want to hear.", true);
  try {
    const decoder = new OfflineAudioContext(1, 1, model.rate); // decodes to the model's rate
    const sound = await decoder.decodeAudioData(await file.arrayBuffer());
    if (sound.numberOfChannels > 2) return say(`${file.name} has ${sound.numberOfChannels} channels; mono and stereo work.`, true);
    const rows = Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c).slice());
    $("progress").value = 0;
    $("progress").hidden = false;
    say(`Separating ${file.name} ...`);
    ask("file", { rows }, rows.map((row) => row.buffer));
  } catch {
    say(`${file.name} is no sound that this browser can read.`, true);
  }
}

$("file").addEventListener("change", () => {
  if ($("file").files[0]) separateFile($("file").files[0]);
  $("file").value = ""; // or the same file chosen again would be no change
});
for (const type of ["dragover", "dragleave", "drop"])
  $("drop").addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) separateFile(event.dataTransfer.files[0]);
  });

ask("load");
