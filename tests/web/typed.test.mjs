// Words that are no label: families, words for everything else, one's own voice.

import assert from "node:assert/strict";
import { test } from "node:test";

import { understand } from "../../export/web/page/language.mjs";
import { Words } from "../../export/web/page/words.mjs";

const words = new Words({
  families: { speech: ["male speech", "female speech"] },
  residual: { noise: ["speech", "music"], "background noise": ["speech", "music"] },
  own: { "my voice": "speech" },
  alike: { geyser: ["bubbling water", "steam"], speech: ["rain"] },
});
const wish = (sentence) => words.resolved(understand(sentence));

test("families", () => {
  assert.deepEqual(words.labelsOf("the Speech"), ["male speech", "female speech"]);
  assert.deepEqual(words.labelsOf("dog"), []);
  assert.deepEqual(words.labelsOf("constructor"), []);
});

test("sounds without a label are like others", () => {
  for (const text of ["the Geyser", "the sound of a geyser", "geyser sounds"]) assert.deepEqual(words.labelsOf(text), ["bubbling water", "steam"]);
  assert.deepEqual(words.labelsOf("sound of the geyser noise"), ["bubbling water", "steam"]);
  assert.deepEqual(words.familyOf("geyser"), []);
  assert.deepEqual(words.labelsOf("speech"), words.familyOf("speech"));
});

test("noise is everything but speech and music", () => {
  assert.deepEqual(wish("the background noise"), { keep: ["speech", "music"], drop: [], remove: true });
  assert.deepEqual(wish("no background noise"), { keep: ["speech", "music"], drop: [], remove: false });
  assert.deepEqual(wish("noise and background noise"), { keep: ["speech", "music"], drop: [], remove: true });
});

test("beside other sounds, noise says nothing new", () => {
  assert.deepEqual(wish("rain without noise"), { keep: ["rain"], drop: [], remove: false });
  assert.deepEqual(wish("rain and noise"), { keep: ["rain", "noise"], drop: [], remove: false });
});

test("one's own voice is the nearest word", () => {
  assert.equal(words.nearestOf("My voice"), "speech");
  assert.deepEqual(words.labelsOf("my voice"), ["male speech", "female speech"]);
  assert.equal(words.nearestOf("voice"), null);
});

test("bundles without words embed every word", () => {
  const none = new Words();
  assert.deepEqual(none.labelsOf("speech"), []);
  assert.deepEqual(none.resolved(understand("noise")), { keep: ["noise"], drop: [], remove: false });
});
