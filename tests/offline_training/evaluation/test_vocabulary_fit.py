import numpy as np
import pytest

from marssep_rt.model import bundle as bundles
from marssep_rt.query.vocabulary import Vocabulary
from offline_training.data.lexicon import normalised, read_lexicon, read_paraphrases
from offline_training.encoders.base import EncoderError
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation.vocabulary_fit import FALSE_ALARMS, fit, read_unrelated, roc_auc


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


def test_the_shipped_text_encoder_tells_known_from_unrelated():
    """ "A pair of shoes" is near footsteps: what names no sound can still lie near the one that it makes."""
    vocabulary = Vocabulary.of(bundles.load())
    known, figures = fit(BuiltinEncoder(), vocabulary.labels)
    assert known.labels == vocabulary.labels
    assert figures["roc_auc_nothing"] > 0.75
    _, of_labels = fit(BuiltinEncoder(), vocabulary.labels[: vocabulary.trained])
    assert of_labels["roc_auc_nothing"] > 0.75
    assert of_labels["roc_auc_unheard"] > 0.75
    assert figures["doubted_known"] < 0.2


def test_examples_of_known_labels_are_seldom_doubted():
    encoder = BuiltinEncoder()
    vectors = encoder.embed_text(["rain", "siren", "dog barking", "violin"] * 10)
    known, _ = fit(encoder, ["rain", "siren", "dog barking"], sounds=vectors)
    assert np.mean((vectors @ known.vectors.T).max(1) < known.thresholds["audio"] - 1e-6) <= FALSE_ALARMS


def test_text_alone_embeds_no_sounds(bundle, tmp_path):
    files = {name: bundle.read(name) for name in ("text.onnx", "tokenizer.json")}
    bundles.write(tmp_path / "b", {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}, files)
    encoder = BuiltinEncoder(text=tmp_path / "b")
    assert encoder.modalities == ("text",)
    with pytest.raises(EncoderError, match="without audio encoder"):
        encoder.embed_audio([np.zeros(48_000, np.float32)])


def test_the_bundles_own_encoders_are_an_encoder():
    encoder = BuiltinEncoder()
    assert encoder.modalities == ("text", "audio", "image")
    rng = np.random.default_rng(0)
    vectors = encoder.embed_audio([rng.standard_normal(n).astype(np.float32) for n in (1000, 500_000)])
    images = encoder.embed_image([rng.integers(0, 255, (50, 90, 3), np.uint8)])
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([vectors, images]), axis=1), 1, atol=1e-5)
