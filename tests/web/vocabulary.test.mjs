// Which words are far from the vocabulary, and which are doubted.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Vocabulary } from "../../export/web/page/vocabulary.mjs";

// two labels that training asked for, and a word that it did not ask for
const card = { sounds: ["dog", "cat", "bark", "rain"], asked: 2, text_threshold: 0.5, doubt: { cosine: 0.8, limit_db: 9 } };
const vectors = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0.6, 0.8, 0, 0);
const vocabulary = new Vocabulary(card, vectors);

test("far words have their nearest labels", () => {
  assert.deepEqual(vocabulary.far(Float32Array.of(0.4, 0.3, 0.2, 0.84)), ["rain", "dog", "cat"]);
  assert.equal(vocabulary.far(Float32Array.of(0.6, 0, 0.8, 0)), null);
});

test("words are doubted that are unlike what training asked for", () => {
  assert.equal(vocabulary.limitDb(Float32Array.of(0.6, 0, 0.8, 0)), 9);
  assert.equal(vocabulary.limitDb(Float32Array.of(0, 0, 1, 0)), 9);
  assert.equal(vocabulary.limitDb(Float32Array.of(0, 0.9, 0.44, 0)), null);
});

test("bundles that never doubt", () => {
  assert.equal(new Vocabulary({ ...card, doubt: null }, vectors).limitDb(Float32Array.of(0, 0, 1, 0)), null);
  const none = new Vocabulary({ sounds: [], asked: null, text_threshold: -1, doubt: null }, new Float32Array());
  assert.equal(none.limitDb(Float32Array.of(1)), null);
  assert.equal(none.far(Float32Array.of(1)), null);
});

test("all labels were asked for where the card does not say how many", () => {
  const all = new Vocabulary({ ...card, asked: null }, vectors);
  assert.equal(all.limitDb(Float32Array.of(0, 0, 1, 0)), null);
});
