// What the page says: status, reasons, names, times, axes; and the demo.

import assert from "node:assert/strict";
import { test } from "node:test";

import { demoSound } from "../../export/web/page/demo.mjs";
import { clock, outputName, slug } from "../../export/web/page/names.mjs";
import { colour, heightOf, hzAt, levels, timeInWords, timeTicks } from "../../export/web/page/spectrogram.mjs";
import { carried, levelWords, nothingWords, presenceWords, reasons, statusOf } from "../../export/web/page/status.mjs";
import { microphoneRefused, noMicrophone } from "../../export/web/page/support.mjs";

const dog = { keep: ["dog"], drop: [], remove: false };
const start = { loading: null, error: null, wish: null, far: {}, source: null, busy: null, done: false, live: false };

test("the status follows the state", () => {
  const words = (values) => statusOf({ ...start, ...values }).words;
  assert.equal(words({ loading: {} }), "Loading the model ...");
  assert.equal(words({ loading: { got: 12e6, total: 27e6 } }), "Loading the model: 12 of 27 MB ...");
  assert.equal(words({}), "Ready. Say what you want to hear.");
  assert.equal(words({ source: "a.mp3" }), "Now say what you want to hear in a.mp3.");
  assert.equal(words({ wish: dog }), "Query: dog. Now choose a sound.");
  assert.equal(words({ wish: dog, source: "a.mp3", busy: 0 }), "Separating a.mp3: dog.");
  assert.equal(words({ wish: { ...dog, remove: true }, source: "a.mp3", done: true }), "Done: everything but dog, in a.mp3.");
  assert.equal(words({ wish: dog, live: true }), "Listening for: dog.");
});

test("an error is said instead, doubt is said as well", () => {
  assert.deepEqual(statusOf({ ...start, wish: dog, error: "That did not work" }), { words: "That did not work.", kind: "error" });
  const { words, kind } = statusOf({ ...start, wish: dog, live: true, far: { dog: ["wolf", "fox"] } });
  assert.equal(kind, "warning");
  assert.equal(
    words,
    "Listening for: dog. “dog” is unlike every sound that the model was trained on; the nearest are wolf, fox; expect a poor separation.",
  );
});

test("words that are doubted, and how far the output goes down", () => {
  const words = (values) => statusOf({ ...start, wish: dog, live: true, ...values }).words;
  assert.equal(
    words({ limits: { dog: 12 } }),
    "Listening for: dog. “dog” is unlike the sounds that the model was trained on; at a strength of 100 % it attenuates by at most 12 dB.",
  );
  assert.equal(statusOf({ ...start, wish: dog, limits: { dog: 12 } }).kind, "warning");
  assert.match(words({ far: { dog: ["wolf"] }, limits: { dog: 12 } }), /unlike every .* wolf; expect a poor separation; at a strength .* 12 dB\.$/);
  assert.equal(words({ own: { dog: "pet" } }), "Listening for: dog. “dog” is every pet to the model.");
  assert.equal(words({ wish: { ...dog, drop: ["cat"] }, limits: {} }), "Listening for: dog without cat.");
});

test("a model that never comes is said until the end", () => {
  const state = { ...start, loading: {}, failed: "the server does not have model/card.json", error: "Say what you want to hear" };
  assert.equal(statusOf(state).words, "The model cannot be loaded: the server does not have model/card.json. Reload the page to try again.");
  assert.equal(reasons({ ...state, lacking: null }).sources, "There is no model.");
});

test("grey buttons have a reason", () => {
  const why = (values) => reasons({ ...start, lacking: null, ...values });
  assert.deepEqual(why({ wish: dog }), { sources: null, microphone: null });
  assert.match(why({ loading: {} }).sources, /still loading/);
  assert.match(why({}).microphone, /said what you want/);
  assert.match(why({ live: true, wish: dog }).sources, /Stop the microphone/);
  assert.equal(why({ live: true, wish: dog }).microphone, null);
  assert.equal(why({ lacking: "No microphone here." }).microphone, "No microphone here.");
});

test("what a browser or an address lacks is one sentence", () => {
  assert.equal(noMicrophone({ secure: true, microphone: true, worklet: true }), null);
  assert.match(noMicrophone({ secure: false, microphone: false, worklet: false }), /https/);
  assert.match(noMicrophone({ secure: true, microphone: false, worklet: true }), /no microphone for pages/);
  assert.match(microphoneRefused({ name: "NotAllowedError", message: "x" }), /allow it/);
  assert.match(microphoneRefused({ name: "Strange", message: "x y" }), /x y/);
});

test("presence and level in words", () => {
  assert.equal(presenceWords({ dog: 0.93, cat: 0.12 }, 0.5), "Presence: dog 0.93, cat 0.12 (hardly there)");
  assert.equal(presenceWords({ cat: 0.12 }, 0.5), "Nothing matches your query. Presence: cat 0.12 (hardly there)");
  assert.equal(levelWords(-12.4), "Output level: 12 dB below the input");
  assert.equal(levelWords(0.2), "Output level: as the input");
  assert.equal(levelWords(-120), "Output level: silence");
});

test("of a residual they say whether there was something to remove, and how far the output fell", () => {
  assert.equal(presenceWords({ dog: 0.93 }, 0.5, "residual"), "Presence: dog 0.93");
  assert.equal(presenceWords({ dog: 0.12 }, 0.5, "residual"), "There is hardly anything to remove. Presence: dog 0.12 (hardly there)");
  assert.equal(nothingWords("target"), "Nothing matches your query.");
  assert.equal(levelWords(-1.24, "residual"), "Output level: 1.2 dB below the input");
  assert.equal(levelWords(-0.04, "residual"), "Output level: as the input");
});

test("a query file carries the limit of words that are doubted", () => {
  assert.deepEqual(carried("dog"), {});
  const { limit_db, warnings } = carried("geyser", undefined, 12);
  assert.equal(limit_db, 12);
  assert.deepEqual(warnings, ["“geyser” is unlike the sounds that the model was trained on; it attenuates by at most 12 dB unless a limit is set"]);
  assert.deepEqual(Object.keys(carried("geyser", ["stream"])), ["warnings"]);
  assert.match(carried("my voice", undefined, undefined, "voice").warnings[0], /^“my voice” is every voice to the model; .* --audio FILE$/);
  assert.match(carried("geyser", ["stream"], 12).warnings[0], /the nearest are stream; expect a poor separation; it attenuates by at most 12 dB/);
});

test("files keep their names", () => {
  assert.equal(outputName("my.meeting.mp3", "dog barking", "target"), "my.meeting.dog-barking.wav");
  assert.equal(outputName("Запись 1.m4a", "dog", "residual"), "Запись 1.without-dog.wav");
  assert.equal(outputName("meeting", "dog", "bypass"), "meeting.wav");
  assert.equal(outputName(".wav", "dog", "bypass"), ".wav.wav");
  assert.equal(slug("Гитара & dog!"), "гитара-dog");
  assert.equal(slug("?!"), "query");
});

test("times", () => {
  assert.equal(clock(7.9), "0:07");
  assert.equal(clock(3723), "1:02:03");
  assert.deepEqual(timeTicks(8, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(timeTicks(0.45, 6), [0, 0.1, 0.2, 0.3, 0.4]);
  for (const seconds of [0.02, 1, 59, 600, 86400]) assert.ok(timeTicks(seconds, 8).length <= 8);
  assert.equal(timeInWords(0.5, 0.5), "0.5 s");
  assert.equal(timeInWords(65, 5), "1:05");
});

test("a tone stands where its frequency is, as bright as it is loud", () => {
  assert.ok(Math.abs(hzAt(heightOf(1000)) - 1000) < 1e-9);
  const height = 100, tone = Float32Array.from({ length: 48000 }, (_, i) => Math.sin((2 * Math.PI * 1000 * i) / 48000));
  const rows = levels(tone, 48000, 1, height), brightest = rows.indexOf(Math.max(...rows));
  assert.ok(Math.abs(1 - (brightest + 0.5) / height - heightOf(1000)) < 0.02);
  assert.ok(rows[brightest] > 0.95);
  assert.deepEqual(colour(0), [0, 0, 4]);
  assert.deepEqual(colour(1), [252, 253, 191]);
});

test("the demo is sound, the same on every visit", () => {
  const demo = demoSound(3, 48000);
  assert.equal(demo.length, 144000);
  assert.ok(demo.every((x) => Math.abs(x) <= 1));
  assert.ok(demo.reduce((s, x) => s + x * x, 0) / demo.length > 1e-4);
  assert.deepEqual(demoSound(3, 48000), demo);
});
