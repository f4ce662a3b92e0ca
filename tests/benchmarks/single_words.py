"""What single words that people type gain, word by word.

    python tests/benchmarks/single_words.py --corpus cache/corpus [--split val] [--mixtures 12] [WORD ...]

WORD is one of ``recipes/lexicon/words.txt``. Each is asked over mixtures of one or two of the labels that it
names and another sound. A dozen mixtures are few: a difference of 2 dB means nothing.
"""

import asking
import numpy as np

from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.voice import EncoderVoice

COMMONEST = [
    "speech",
    "voice",
    "man's voice",
    "woman's voice",
    "vocals",
    "music",
    "guitar",
    "bass",
    "drums",
    "strings",
    "keyboard clicks",
    "dog",
    "birds",
    "animals",
    "rainfall",
    "wind noise",
    "thunderstorm",
    "police siren",
    "traffic noise",
    "applause",
]


def main():
    parser = asking.parser(__doc__, 12)
    parser.add_argument("words", nargs="*", default=COMMONEST)
    options = parser.parse_args()
    bundle, sources = asking.opened(options)
    known = suite.read_words()
    if unknown := [word for word in options.words if word not in known]:
        parser.error(f"{unknown[0]} is none of recipes/lexicon/words.txt")
    encoder = BuiltinEncoder(text=bundle.path)
    voice = EncoderVoice(encoder, sources.corpus, known=Vocabulary.of(bundle), words=Words.of(bundle))
    asked = questions.by_words(
        sources, voice, {word: known[word] for word in options.words}, options.mixtures
    )
    answers = suite.measure(BundleListener(bundle), asked)
    print("| Word | mean, dB | median, dB | made worse |\n|---|---|---|---|")
    for word in options.words:
        gains = np.array([a.si_sdri for a in answers if a.label == word])
        print(f"| {word} | {gains.mean():.1f} | {np.median(gains):.1f} | {(gains < 0).mean():.0%} |")


if __name__ == "__main__":
    main()
