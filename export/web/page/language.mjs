// What a sentence asks for: what to keep, what to leave out, and whether the named sound is to go. As marssep_rt/query/language.py, step by
// step; tests/marssep_rt/query/golden_sentences.json holds both to it.

import * as grammar from "./grammar.mjs";

const wish = (keep, drop = [], remove = false) => ({ keep, drop, remove });
const everywhere = (pattern) => new RegExp(pattern, `g${pattern.flags}`);
const STOP = everywhere(grammar.STOP), OR = everywhere(grammar.OR);
const SIGN_INSIDE = everywhere(grammar.SIGN_INSIDE), SIGN_AFTER = everywhere(grammar.SIGN_AFTER);
const NO_AGAIN = everywhere(grammar.NO_AGAIN), NO_INSIDE = everywhere(grammar.NO_INSIDE);

// A sentence -> { keep, drop, remove }: the sounds that it names (with remove: those that are to go), the sounds to leave out,
// and whether the residual is asked for. One without negation or "and" is one description, unchanged. Throws an error, in one
// sentence, where it can be read in two ways: "don't remove the dog".
export function understand(sentence) {
  const given = withoutSigns(sentence.split(/\s+/u).filter(Boolean).join(" ").replace(/[.!?]+$/u, ""));
  const text = withoutAsking(given), asked = text !== given;
  if (grammar.NAMES.has(text.toLowerCase())) return wish([text]);
  const only = grammar.KEEP_ONLY.exec(text);
  if (only) return understand(`only ${only.groups.rest}`);
  const twice = grammar.TWICE.exec(text);
  if (twice) throw unclear(text, twice.groups.rest);
  for (const pattern of [grammar.LEADING, grammar.TRAILING, grammar.AROUND]) {
    const match = pattern.exec(text);
    if (match) return removing(text, match.groups.rest);
  }
  const match = grammar.KEEP_NOT.exec(text);
  if (match) {
    const again = grammar.LEADING.exec(match.groups.drop);
    if (again) throw unclear(text, again.groups.rest);
    const kept = wanted(withoutAsking(match.groups.keep), asked), dropped = unwanted(match.groups.drop);
    return grammar.EVERYTHING.test(kept) ? wish(dropped, [], true) : wish(parts(kept), dropped);
  }
  const named = wanted(text, asked), several = parts(named);
  return wish(several.length > 1 ? several : [named]);
}

// The wish in words: "dog and rain without wind", "everything but dog".
export function inWords({ keep, drop, remove }) {
  const kept = keep.join(" and ");
  if (remove) return `everything but ${kept}`;
  return drop.length ? `${kept} without ${drop.join(" and ")}` : kept;
}

// Words for signs ("-dog" is "no dog"), in one piece, with a negated aside at the end.
function withoutSigns(given) {
  const text = given.replace(STOP, ", ").replace(grammar.SIGN_FIRST, "no ").replace(SIGN_AFTER, ", no ");
  const match = grammar.ASIDE.exec(text.replace(SIGN_INSIDE, "(no "));
  if (!match) return text;
  const { before, aside, after } = match.groups, named = `${before}${after}`.trim();
  return named ? `${named}, ${aside}` : aside;
}

// Without "please", "I want to hear" and the like.
function withoutAsking(text) {
  const shorter = text.replace(grammar.ASKING, "").replace(grammar.THANKS, "");
  return shorter === text ? text : withoutAsking(shorter);
}

// The wish of a sentence in which the rest is to go.
function removing(text, rest) {
  const twice = grammar.TRAILING.exec(rest);
  if (twice) throw unclear(text, twice.groups.rest);
  const match = grammar.NOT_KEEP.exec(rest) ?? grammar.NOT_ONLY.exec(rest);
  if (match) return wish(parts(match.groups.keep), unwanted(match.groups.drop));
  return wish(unwanted(rest.replace(grammar.BUT_NOT, "")), [], true);
}

function unclear(text, rest) {
  const name = unwanted(rest).join(" and ");
  return new Error(`“${text}” can be read in two ways; say “${name}” to hear it, or “no ${name}” to take it out`);
}

// The description in "the dog only"; after words that ask for it, without its article.
function wanted(text, asked) {
  const match = grammar.ONLY_BEHIND.exec(text);
  if (match) return withoutArticle(match.groups.rest);
  return asked ? withoutArticle(text) : text;
}

// The sounds that a list names, articles taken off.
function parts(text) {
  const whole = withoutArticle(text);
  if (grammar.NAMES.has(text.toLowerCase()) || grammar.NAMES.has(whole.toLowerCase())) return [whole];
  const found = text.split(grammar.SEVERAL).filter((part) => part.trim()).map(withoutArticle).filter(Boolean);
  return found.length ? found : [whole];
}

// The sounds of a list that is to go: "or" lists them too, and "no" may come again.
const unwanted = (text) => parts(text.replace(NO_AGAIN, "$1").replace(NO_INSIDE, ", ").replace(OR, " and "));

// A description without the words before its noun.
export function withoutArticle(text) {
  return text.trim().replace(grammar.ARTICLE, "") || text.trim();
}
