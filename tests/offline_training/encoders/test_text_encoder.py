"""The lexicon, WordNet, the encoder's architecture, and the shipped encoder on the frozen paraphrases."""

from collections import Counter

import numpy as np
import pytest
import torch

from marssep_rt.query.encoders import TextEncoder
from marssep_rt.query.vocabulary import Vocabulary
from offline_training.data.lexicon import (
    LexiconError,
    WordNet,
    general_phrases,
    normalised,
    read_lexicon,
    read_paraphrases,
    teaching_phrases,
)
from offline_training.data.query_table import QueryTable
from offline_training.encoders.text_distillation import (
    TextConfig,
    between,
    class_words,
    place_of,
    taught_phrases,
)
from offline_training.encoders.text_encoder import (
    TorchTextEncoder,
    load_text_encoder,
    save_text_encoder,
    space_of,
    weights_file,
)
from offline_training.utils.retrieval import retrieval


@pytest.fixture(scope="module")
def wordnet():
    try:
        return WordNet()
    except LexiconError as e:
        pytest.skip(str(e))


def test_the_frozen_list_is_large_and_says_it_in_other_words():
    pairs = read_paraphrases()
    assert len(pairs) >= 150
    assert len({label for _, label in pairs}) >= 50
    assert {label for _, label in pairs} <= {e.label for e in read_lexicon()}
    for phrase, label in pairs:
        assert not set(normalised(phrase).split()) & set(normalised(label).split()), phrase


def test_the_encoder_is_never_taught_a_measured_paraphrase(wordnet):
    measured = {normalised(p) for p, _ in read_paraphrases()}
    taught = teaching_phrases(read_lexicon(), wordnet, np.random.default_rng(0))
    for label, phrases in taught.items():
        assert phrases[0] == label
        assert not {normalised(p) for p in phrases[1:]} & measured
    owners = Counter(normalised(p) for phrases in taught.values() for p in set(map(normalised, phrases[1:])))
    assert max(owners.values()) == 1


def test_wordnet_knows_kinds_of_things(wordnet):
    assert {"dog", "hound"} <= set(wordnet.kinds_of("dog.1", most=200))
    assert "fiddle" in wordnet.kinds_of("violin.1")
    with pytest.raises(LexiconError, match="no sense"):
        wordnet.kinds_of("dog.99")
    general = general_phrases(wordnet, np.random.default_rng(0), 50)
    assert len(general) == 50
    assert all(explanation.startswith(phrase) for phrase, explanation in general)
    assert sum(explanation != phrase for phrase, explanation in general) > 20
    assert "spring" in wordnet.gloss_of("geyser")
    assert wordnet.gloss_of("zxqv") == ""


def test_the_shipped_encoder_clears_its_bar(bundle):
    """Over the 184 trained labels, on phrases that it never saw: top-1 at least 80 %, top-5 at least 90 %."""
    encoder = TextEncoder(bundle)
    known = Vocabulary.of(bundle)
    labels = list(known.labels[: known.trained])
    phrases, wanted = zip(*(pair for pair in read_paraphrases() if pair[1] in labels), strict=True)
    vectors, anchors = (
        torch.from_numpy(np.stack([encoder.embed(t) for t in texts])) for texts in (phrases, labels)
    )
    top1, top5 = retrieval(vectors, [labels.index(w) for w in wanted], anchors)
    assert top1 >= 0.80
    assert top5 >= 0.90


def test_retrieval_by_hand():
    labels = torch.eye(6)
    vectors = torch.tensor([[1.0, 0.9, 0, 0, 0, 0], [0.9, 1.0, 0.8, 0.7, 0.6, 0.5]])
    assert retrieval(vectors, [0, 5], labels) == (0.5, 0.5)


def test_padding_does_not_change_a_vector():
    torch.manual_seed(0)
    encoder = TorchTextEncoder(20, 2, dim=24, heads=3, inner=32).eval()
    short = encoder(torch.tensor([[2, 5, 3]]), torch.ones(1, 3, dtype=torch.int64))
    padded = encoder(torch.tensor([[2, 5, 3, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(short, padded, atol=1e-5, rtol=0)
    assert short.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_a_folder_keeps_its_encoder_and_one_of_before_is_read(tmp_path):
    torch.manual_seed(0)
    encoder = TorchTextEncoder(20, 1)
    save_text_encoder(tmp_path, encoder, "space-7")
    content = torch.load(tmp_path / "encoder.pt", weights_only=True)
    before = {"tower": content.pop("weights"), **content}
    (tmp_path / "before").mkdir()
    torch.save(before, tmp_path / "before" / "tower.pt")
    for folder in (tmp_path, tmp_path / "before"):
        assert space_of(folder) == "space-7"
        again = load_text_encoder(folder)
        assert not again.training
        for name, value in encoder.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name
    assert weights_file(tmp_path / "none") is None


def test_other_language_lies_between_what_is_taught_and_unknown_words_far_from_all():
    taught = torch.eye(4)[:2]
    places = torch.eye(5)[:2]
    config = TextConfig(neighbours=2, neighbour_temperature=0.05, sure=0.4, sure_width=0.02)
    near, middle, far = between(
        torch.tensor([[1.0, 0, 0, 0], [0.7, 0.7, 0.1, 0.1], [0, 0, 1.0, 0]]), taught, places, config
    )
    torch.testing.assert_close(near, places[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(middle, torch.nn.functional.normalize(places.sum(0), dim=0), atol=1e-3, rtol=0)
    assert (far @ places.T).max() < 0  # opposite to the mean of all places
    assert between(taught, taught, places, config).norm(dim=1).allclose(torch.ones(2))


def test_families_and_classes_own_their_words(wordnet):
    vectors = np.eye(4, dtype=np.float32)
    labels = {"dog barking": vectors[:1], "cat meowing": vectors[1:2]}
    places = QueryTable(
        {k: [k] for k in labels},
        labels,
        "space",
        None,
        None,
        {"pet": ("dog barking", "cat meowing")},
        {"pet": vectors[2:3]},
        {"Owl": vectors[3]},
    )
    taught = taught_phrases(places, wordnet, np.random.default_rng(0))
    assert {"dog barking", "cat meowing", "pet", "Owl"} == taught.keys()
    assert "pets" in taught["pet"]
    assert "the sound of owl" in taught["Owl"]
    words = {normalised(p) for p in taught["pet"]}
    assert not words & {normalised(p) for p in taught["dog barking"][1:]}
    measured = {normalised(p) for p, _ in read_paraphrases()}
    assert not measured & {normalised(p) for name in ("pet", "Owl") for p in taught[name][1:]}
    np.testing.assert_array_equal(place_of(places, "pet"), vectors[2])
    np.testing.assert_array_equal(place_of(places, "Owl"), vectors[3])


def test_ways_to_say_a_class():
    assert class_words("Sheep, goat (animal)") == ["sheep, goat", "sheep", "goat"]
    assert class_words("Owl") == ["owl"]
