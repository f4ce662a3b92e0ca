// What a sentence asks for: what to keep, what to leave out, and whether the named sound is to go. The grammar is that of
// marssep_rt/query/language.py, pattern by pattern; tests/marssep_rt/query/golden_sentences.json holds both to it.

// A sentence that begins so asks for everything but what follows.
const ALL_BUT =
  String.raw`(?:everything|anything|all|all sounds?|all (?:the )?rest)\s+` +
  String.raw`(?:but|except(?:\s+for)?|besides|without|minus|other than|apart from)`;
const REMOVE =
  String.raw`(?:please\s+)?(?:remove|removing|delete|drop|mute|silence|suppress|reduce|cancel|kill|eliminate|exclude|` +
  String.raw`discard|stop|get rid of|cut(?:\s+out)?|take\s+(?:out|away)|filter\s+out|leave\s+out|clean\s+(?:up|out)|` +
  String.raw`turn\s+off)`;
const UNWANTED =
  String.raw`(?:i\s+)?(?:do\s+not|don(?:'|’)?t|never)\s+(?:want|need|like|play|keep|hear|let\s+me\s+hear)` +
  String.raw`(?:\s+to\s+hear)?`;
const BARE = String.raw`(?:${UNWANTED}|no|not|less|without|except(?:\s+for)?|minus|non|never|neither)`;
const LEADING = new RegExp(String.raw`^(?:${ALL_BUT}|${REMOVE}|${BARE})\s+(?<rest>.+)$`, "iu");
const TRAILING = /^(?<rest>.+?)\s+(?:removal|removed|remover|suppression|reduction|cancellation)$/iu;
// A sentence that names what to keep first and what to leave out after it.
const KEEP_NOT = new RegExp(
  String.raw`^(?<keep>.+?)(?:[,;]\s*(?:(?:and|but)\s+)?(?:no|${REMOVE})|` +
    String.raw`[,;]?\s+(?:but\s+(?:not|no|without|neither)|and\s+(?:not|no)|not|without|except(?:\s+for)?|minus|` +
    String.raw`rather\s+than|instead\s+of))\s+(?<drop>.+)$`,
  "iu",
);
const WANT = new RegExp(
  String.raw`^(?:please\s+)?(?:only|just|keep|isolate|extract|solo|separate|give\s+me|i\s+(?:only\s+)?want(?:\s+to\s+hear)?|` +
    String.raw`let\s+me\s+hear|play|hear)\s+(?:only\s+|just\s+)?(?<rest>.+)$`,
  "iu",
);
const ONLY_BEHIND = /^(?<rest>.+?)\s+(?:only|alone)$/iu;
const ARTICLE = /^(?:(?:all|any|of|the|a|an|that|those|these|this|my|some|other)\s+)+(?=\S)/iu;
const SEVERAL = /\s*(?:,\s*(?:and\s+)?|;\s*|\s+(?:and|nor)\s+|\s*&\s*|\s+plus\s+|\s*\+\s*)\s*/iu;
// Inside a list of what is to go: "no drums and no bass", "no cat or dog".
const NO_AGAIN = /(^|[\s,;])(?:no|not|without)\s+/giu;
const OR = /\s+or\s+/giu;
const NOTHING_ELSE = /[,;]?\s+(?:and\s+)?nothing\s+else$/iu;
// One sound with "and" in its name.
const NAMES = new Set([
  "bits and pieces",
  "call and response",
  "cats and dogs",
  "crashes and hats",
  "dogs and wolves",
  "drum & bass",
  "drum and bass",
  "hustle and bustle",
  "knife and fork",
  "lambs and kids",
  "lions and tigers",
  "marimba and xylophone",
  "nuts and bolts",
  "planes and helicopters",
  "pots and pans",
  "r and b",
  "r&b",
  "rhythm and blues",
  "rock and roll",
  "sheep and goats",
  "song and dance",
  "violins and cellos",
]);
const ALL = ["everything", "anything", "all", "all sounds"];

const wish = (keep, drop = [], remove = false) => ({ keep, drop, remove });

// A sentence -> { keep, drop, remove }: the sounds that it names (with remove: those that are to go), the sounds to leave out,
// and whether the residual is asked for. One without negation or "and" is one description, unchanged.
export function understand(sentence) {
  const text = sentence.split(/\s+/u).filter(Boolean).join(" ").replace(/[.!?]+$/u, "").replace(NOTHING_ELSE, "");
  if (NAMES.has(text.toLowerCase())) return wish([text]);
  for (const pattern of [LEADING, TRAILING]) {
    const match = pattern.exec(text);
    if (match) return wish(unwanted(match.groups.rest), [], true);
  }
  const match = KEEP_NOT.exec(text);
  if (match) {
    const kept = wanted(match.groups.keep), dropped = unwanted(match.groups.drop);
    return ALL.includes(kept.toLowerCase()) ? wish(dropped, [], true) : wish(parts(kept), dropped);
  }
  const named = wanted(text), several = parts(named);
  return wish(several.length > 1 ? several : [named]);
}

// The wish in words: "dog and rain without wind", "everything but dog".
export function inWords({ keep, drop, remove }) {
  const kept = keep.join(" and ");
  if (remove) return `everything but ${kept}`;
  return drop.length ? `${kept} without ${drop.join(" and ")}` : kept;
}

// The description in "only the dog", "I want to hear a dog", "dog alone".
function wanted(text) {
  for (const pattern of [WANT, ONLY_BEHIND]) {
    const match = pattern.exec(text);
    if (match) return withoutArticle(match.groups.rest);
  }
  return text;
}

// The sounds that a list names, articles taken off.
function parts(text) {
  const whole = withoutArticle(text);
  if (NAMES.has(text.toLowerCase()) || NAMES.has(whole.toLowerCase())) return [whole];
  const found = text.split(SEVERAL).filter((part) => part.trim()).map(withoutArticle).filter(Boolean);
  return found.length ? found : [whole];
}

// The sounds of a list that is to go: "or" lists them too, and "no" may come again.
const unwanted = (text) => parts(text.replace(NO_AGAIN, "$1").replace(OR, " and "));

// A description without the words before its noun.
export function withoutArticle(text) {
  return text.trim().replace(ARTICLE, "") || text.trim();
}
