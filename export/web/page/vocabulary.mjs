// The sounds that the model was trained on: which words are far from all of them, and which are doubted. As marssep_rt/query/vocabulary.py.

const NEAREST = 3; // labels that are named beside words that are far

// card: { sounds, asked, text_threshold, doubt }: labels, how many of them training asked for (they come first), the smallest cosine of words
// that are inside, and { cosine, limit_db } or null. vectors: their unit vectors, one after the other.
export class Vocabulary {
  constructor(card, vectors) {
    Object.assign(this, { card, vectors });
  }

  // The nearest labels to a query that is far from all of them; else null.
  far(vector) {
    const near = this.cosines(vector).map((cosine, i) => ({ label: this.card.sounds[i], cosine }));
    near.sort((a, b) => b.cosine - a.cosine);
    return near.length && near[0].cosine < this.card.text_threshold ? near.slice(0, NEAREST).map(({ label }) => label) : null;
  }

  // The attenuation limit in dB of words that are unlike everything that training asked for; else null.
  limitDb(vector) {
    const { asked, doubt } = this.card;
    return doubt && Math.max(...this.cosines(vector).slice(0, asked ?? undefined)) < doubt.cosine ? doubt.limit_db : null;
  }

  cosines(vector) {
    const dim = vector.length;
    return this.card.sounds.map((_, i) => vector.reduce((sum, x, k) => sum + x * this.vectors[i * dim + k], 0));
  }
}
