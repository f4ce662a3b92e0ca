import numpy as np
import pytest

from offline_training.encoders.base import EncoderError
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.lexicon import normalised, read_lexicon, read_paraphrases
from offline_training.vocabulary import FALSE_ALARMS, fit, read_unrelated, roc_auc


def test_roc_auc_by_hand():
    assert roc_auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert roc_auc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(0.5)
    assert roc_auc(np.array([1.0, 3.0]), np.array([2.0])) == pytest.approx(0.5)
    assert roc_auc(np.array([2.0]), np.array([1.0, 2.0, 3.0, 0.0])) == pytest.approx(2.5 / 4)


def test_unrelated_phrases_are_unrelated():
    unrelated = {normalised(p) for phrases in read_unrelated().values() for p in phrases}
    known = {normalised(p) for e in read_lexicon() for p in (e.label, *e.things, *e.phrases)} | {
        normalised(p) for p, _ in read_paraphrases()
    }
    assert len(unrelated) == sum(map(len, read_unrelated().values()))
    assert not unrelated & known


def test_the_shipped_text_tower_tells_known_from_unrelated():
    labels = [e.label for e in read_lexicon()]
    known, figures = fit(BuiltinEncoder(), labels)
    assert known.labels == tuple(labels)
    assert figures["roc_auc_nothing"] > 0.9
    assert figures["roc_auc_nothing"] > figures["roc_auc_unheard"]
    assert figures["doubted_known"] < 0.2


def test_examples_of_known_labels_are_seldom_doubted():
    encoder = BuiltinEncoder()
    vectors = encoder.embed_text(["rain", "siren", "dog barking", "violin"] * 10)
    known, _ = fit(encoder, ["rain", "siren", "dog barking"], sounds=vectors)
    assert np.mean((vectors @ known.vectors.T).max(1) < known.thresholds["audio"] - 1e-6) <= FALSE_ALARMS


def test_text_alone_embeds_no_sounds():
    with pytest.raises(EncoderError, match="without towers"):
        BuiltinEncoder().embed_audio([np.zeros(48_000, np.float32)])
