// Words that people type and that are no label, as marssep_rt/query/words.py reads them.

import { withoutArticle } from "./language.mjs";

const plain = (text) => withoutArticle(text).toLowerCase();
const SPEAKING_OF = /^(?:sounds?|noises?) of | (?:sounds?|noises?|sound effects?)$/g;

// What a text means, or what it speaks of ("the sound of a geyser", "animal sounds"); [] for others.
const found = (words, text) => words.get(plain(text)) ?? words.get(plain(plain(text).replace(SPEAKING_OF, ""))) ?? [];

export class Words {
  // families, residual, alike: { word: sounds }; own: { word for one person's voice: the nearest word }. Without them every word is embedded.
  constructor({ families = {}, residual = {}, own = {}, alike = {} } = {}) {
    [this.families, this.residual, this.own, this.alike] = [families, residual, own, alike].map((words) => new Map(Object.entries(words)));
  }

  // The labels of a family; else those that a sound without a label is like; [] for other texts.
  labelsOf(text) {
    const family = this.familyOf(text);
    return family.length ? family : found(this.alike, text);
  }

  // The labels of a family, and of the nearest one for one's own voice; [] for other texts.
  familyOf(text) {
    return found(this.families, this.nearestOf(text) ?? text);
  }

  // The word that is nearest to one person's voice, which no word can name; else null.
  nearestOf(text) {
    return this.own.get(text.toLowerCase()) ?? null;
  }

  // "background noise" as everything but speech and music. Beside other sounds, to leave it out says nothing new.
  resolved({ keep, drop, remove }) {
    const kept = keep.map((text) => this.keptOf(text));
    if (!drop.length && kept.length && kept.every((sounds) => sounds.length)) return { keep: [...new Set(kept.flat())], drop: [], remove: !remove };
    return { keep, drop: drop.filter((text) => !this.keptOf(text).length), remove };
  }

  // The sounds that a word for everything else leaves; [] for other texts.
  keptOf(text) {
    return this.residual.get(plain(text)) ?? [];
  }
}
