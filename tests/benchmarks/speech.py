"""The query "speech" beside RNNoise, on the mixtures of ``marssep train suite --only speech``.

    pip install pyrnnoise
    python tests/benchmarks/speech.py --corpus cache/corpus [--split val] [--mixtures 100] [--bundle BUNDLE]

RNNoise suppresses noise and takes no query. Its output is aligned to the mixture before it is measured.
"""

import json
from dataclasses import replace

import asking
import numpy as np
import torch
from pyrnnoise import RNNoise
from scipy.signal import correlate, correlation_lags

from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from offline_training.data.corpus import SAMPLE_RATE
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.voice import EncoderVoice

LARGEST_DELAY = 2_400  # samples


class Denoiser:
    """RNNoise as a listener."""

    mixes = False

    def separate(self, mixtures, queries, others=None, mixing=None):
        return torch.from_numpy(np.stack([self.denoise(x) for x in mixtures]))

    @staticmethod
    def denoise(mixture):
        scaled = np.round(np.clip(mixture, -1, 1) * 32767).astype(np.int16)
        frames = [frame for _, frame in RNNoise(SAMPLE_RATE).denoise_chunk(scaled, partial=True)]
        output = np.concatenate(frames, axis=1)[0].astype(np.float32) / 32767
        return aligned(output, mixture)


def aligned(output, mixture):
    """The output, moved to where it fits the mixture best, as long as the mixture."""
    length = len(mixture)
    output = np.pad(output, (0, max(0, length - len(output))))[:length]
    lags = correlation_lags(length, length)
    near = np.abs(lags) <= LARGEST_DELAY
    delay = int(lags[near][np.argmax(correlate(output, mixture)[near])])
    return np.roll(np.pad(output, LARGEST_DELAY), -delay)[LARGEST_DELAY:-LARGEST_DELAY]


def main():
    options = asking.parser(__doc__, 100).parse_args()
    bundle, sources = asking.opened(options)
    voice = EncoderVoice(
        BuiltinEncoder(text=bundle.path),
        sources.corpus,
        known=Vocabulary.of(bundle),
        words=Words.of(bundle),
    )
    asked = list(questions.speech(sources, voice, options.mixtures))
    ours = suite.measure(BundleListener(bundle), iter(asked))
    theirs = suite.measure(Denoiser(), iter(asked))
    # a voice alone must come through
    alone = suite.measure(BundleListener(bundle), (replace(q, mixture=q.target) for q in asked))
    levels = [answer.level for answer in alone]
    ahead = float(np.mean([a.si_sdri > b.si_sdri for a, b in zip(ours, theirs, strict=True)]))
    print(
        json.dumps(
            {
                "marssep": suite.summary(ours),
                "rnnoise": suite.summary(theirs),
                "ahead": ahead,
                "alone_db": {"mean": float(np.mean(levels)), "worst": min(levels)},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
