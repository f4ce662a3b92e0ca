// The page reads sentences as the runtime does: the same golden list.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { inWords, understand } from "../../export/web/page/language.mjs";

const golden = JSON.parse(readFileSync(new URL("../marssep_rt/query/golden_sentences.json", import.meta.url), "utf-8"));

test("the list is there", () => assert.ok(golden.length >= 130));

for (const { sentence, keep, drop = [], remove = false, refused = false } of golden)
  test(sentence, () => {
    if (refused) return assert.throws(() => understand(sentence), /in two ways; say “\w+” to hear it/);
    const found = understand(sentence);
    assert.deepEqual(found, { keep, drop, remove });
    assert.deepEqual(understand(inWords(found)), found);
  });

test("a wish in words", () => {
  assert.equal(inWords(understand("remove the dog and the rain")), "everything but dog and rain");
  assert.equal(inWords(understand("voice without the dog")), "voice without dog");
  assert.equal(inWords(understand("dog barking")), "dog barking");
});

test("spaces and full stops say nothing", () => assert.deepEqual(understand("  no \t dog. "), understand("no dog")));
