"""Queries that are typed in a plug-in: its tokenizer and its grammar against Python's."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from daw_tools import tools, words
from export.plugin.build import text_resources
from export.plugin.wordpiece import ranges, wordpiece
from marssep_rt import embed_text
from marssep_rt.contract import MIXER
from marssep_rt.errors import QueryError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.language import understand
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import Vocabulary

GOLDEN = Path(__file__).parents[2] / "marssep_rt" / "query" / "golden_sentences.json"
SOUNDS = (
    "dog barking",
    "a violin",
    "rain on a tin roof",
    "vacuum cleaner",
    "theremin",
    "glockenspiel",
    "church bells",
    "baby crying",
    "typing on a keyboard",
    "someone's footsteps in snow",
)
FORMS = ("{}", "{}!", "The {}", "  {} ", "{}, far away", "{} (loud)", "{}-like", "{} 50%", "WHO {}?", "“{}”")
STRANGE = (
    "naïve café",
    "Žluťoučký kůň",
    "ÅNGSTRÖM",
    "İstanbul'da yağmur",
    "Straße",
    "niño llorando",
    "ﬁre",
    "狗叫",
    "dog 狗 barking",
    "犬の鳴き声",
    "개 짖는 소리",
    "собака лает",
    "كلب ينبح",
    "σκύλος ΣΚΎΛΟΣ",
    "dog\tbarking",
    "dog\u00a0barking",
    "dog\u200bbarking",
    "dog\u3000barking",
    "dog\ufeff",
    "é",
    "e\u0301",
    "\u0301",
    "≠ ½ ² ①",
    "\uff1b;",
    "rock & roll + 1$",
    "don't",
    "x" * 99,
    "x" * 101,
    "word " * 90,
    "[UNK] dog [SEP]",
    "[unk]",
    "[MASK][CLS]dog",
    "🐕 barking",
    "dog🐕",
    "\uff41\uff42\uff43",
    "\ue000dog",
    "\u0378dog",
    "\U000e0041dog",
    "",
    ".",
    "--",
    "C3PO",
    "R2-D2's beep_boop",
)


@pytest.fixture(scope="module")
def tokenizer():
    return bundles.load(None).read("tokenizer.json")


@pytest.fixture(scope="module")
def rules(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "wordpiece.json"
    path.write_text(json.dumps(wordpiece(tokenizer)))
    return path


def said(lines, *arguments):
    given = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run([words(), *arguments], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_texts_become_the_tokens_of_the_runtime(tokenizer, rules):
    texts = [form.format(sound) for form in FORMS for sound in SOUNDS] + list(STRANGE)
    assert len(texts) > 140
    reference = Tokenizer.from_str(tokenizer.decode())
    for text, line in zip(texts, said(texts, rules), strict=True):
        assert [int(number) for number in line.split()] == reference.encode(text).ids, text


def test_bytes_that_are_no_text_do_no_harm(rules):
    given = b"dog \xff\xfe\xc3\ndog \xf0\x9f\n\xed\xa0\x80\n\xc0\x80dog\n"
    done = subprocess.run([words(), rules], input=given, capture_output=True)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert len(lines) == 4
    assert lines[0] == lines[1] == lines[3] == said(["dog"], rules)[0]


def test_rules_are_small_and_other_tokenizers_are_none(tokenizer, rules):
    assert rules.stat().st_size < 400_000
    assert wordpiece(Tokenizer(BPE()).to_str().encode()) is None
    assert list(ranges([1, 2, 3, 7, 9, 10])) == [(1, 3), (7, 7), (9, 10)]
    assert list(ranges([])) == []


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "cannot read"), ("{}", "is no tokenizer"), ('{"format": 9}', "newer format")],
)
def test_rules_that_are_none_are_one_sentence(tmp_path, content, part):
    path = tmp_path / "wordpiece.json"
    if content is not None:
        path.write_text(content)
    done = subprocess.run([words(), path], input=b"", capture_output=True)
    assert done.returncode != 0
    assert part in done.stderr.decode()


SENTENCES = (
    "dog barking",
    "a dog barking in the yard",
    "my voice",
    "Drum and Bass",
    "cats and dogs",
    "the drum and bass",
    "only the dog",
    "I want to hear only the piano",
    "let me hear a guitar.",
    "vocals only",
    "piano alone",
    "nobody talking",
    "No Dog!",
    "please remove the hum",
    "get rid of the wind",
    "I don't want to hear the dog",
    "everything, but not the dog",
    "everything except for my voice",
    "all the rest but the piano",
    "noise removal",
    "remove the dog and the rain",
    "no dog, rain & wind",
    "voice without the dog",
    "the dog but not the rain",
    "speech rather than music and typing",
    "dog and rain",
    "dog, cat and rain plus thunder",
    "dog + cat",
    "the",
    "and",
    "not",
    "Hund und Regen, größer",
    "knocking; no knock",
    "   ",
)


def read(sentence):
    """What the runtime reads, as words.cpp says it."""
    try:
        wish = understand(sentence)
    except QueryError as e:
        return str(e)
    return [list(wish.keep), list(wish.drop), wish.remove]


def test_sentences_are_understood_as_in_the_runtime():
    sentences = [*SENTENCES, *(row["sentence"] for row in json.loads(GOLDEN.read_text(encoding="utf-8")))]
    assert len(sentences) > 150
    for sentence, line in zip(sentences, said(sentences), strict=True):
        assert json.loads(line) == read(sentence), sentence


WORDS = (
    "speech",
    "Strings",
    "the animals",
    "accompaniment",
    "talking and rain",
    "dog barking but not the speech",
    "background noise",
    "no background noise",
    "remove the speech",
    "the static and the noise",
    "rain without background noise",
    "my voice",
    "violin",
    "quarterly tax returns",
    "speech and quarterly tax returns",
    "violin but not quarterly tax returns",
    "geyser",
    "the Shehnais but not hail",
    "wolf howls",
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """What a plug-in gets for typed queries, in a folder."""
    folder = tmp_path_factory.mktemp("packed")
    for name, content in text_resources(bundles.load(None)).items():
        (folder / name).write_bytes(content)
    return folder


def typed(lines, folder):
    bundle = bundles.load(None)
    lines = said(lines, tools().library, folder, bundle.encoder, str(bundle.query_dim))
    return [json.loads(line) for line in lines]


def test_typed_words_give_the_query_of_the_runtime(packed):
    bundle = bundles.load(None)
    assert "speech" in json.loads((packed / "words.json").read_text())["families"]
    for text, found in zip(WORDS, typed(WORDS, packed), strict=True):
        query = build_query(bundle, QueryRequest([text]))
        said_of = found["remove"], found["complement"], found["label"]
        assert said_of == (query.remove, query.complement, query.label), text
        np.testing.assert_allclose(found["vector"], query.vector, atol=1e-5, err_msg=text)
        np.testing.assert_allclose(found["keep"], query.kept, atol=1e-5, err_msg=text)
        dropped = np.reshape(found["drop"], (-1, bundle.query_dim))
        np.testing.assert_allclose(dropped, query.dropped, atol=1e-5, err_msg=text)
        assert bool(found["warning"]) == bool(query.warnings), text
        assert found["limit"] == (MIXER.no_limit_db if query.limit_db is None else query.limit_db), text


def test_ones_own_voice_is_warned_of(packed):
    (found,) = typed(["rain and myself"], packed)
    assert found["warning"].startswith("“myself” is every ")


def test_doubted_words_are_warned_of(packed):
    (found,) = typed(["quarterly tax returns"], packed)
    assert found["warning"].startswith("“quarterly tax returns” is unlike ")
    assert found["limit"] < MIXER.no_limit_db


def test_what_is_doubted_is_small_and_what_the_runtime_doubts(packed):
    """Words on both sides of the cosine from which on they are doubted."""
    assert (packed / "doubt.json").stat().st_size < 300_000
    bundle = bundles.load(None)
    known = Vocabulary.of(bundle)
    nearest = {word: float((known.vectors[: known.asked] @ embed_text(word)).max()) for word in known.labels}
    edge = sorted(nearest, key=lambda word: abs(nearest[word] - known.doubt.cosine))[:30]
    edge = [word for word in edge if build_query(bundle, QueryRequest([word])).understood == ""]
    limits = [build_query(bundle, QueryRequest([word])).limit_db for word in edge]
    assert {None, known.doubt.limit_db} == set(limits)
    expected = [MIXER.no_limit_db if limit is None else limit for limit in limits]
    assert [found["limit"] for found in typed(edge, packed)] == expected


def test_plugins_without_words_embed_every_word(packed, tmp_path):
    for name in ("text.onnx", "wordpiece.json"):
        (tmp_path / name).symlink_to(packed / name)
    speech, noise = typed(["speech", "background noise"], tmp_path)
    np.testing.assert_allclose(speech["vector"], embed_text("speech"), atol=1e-5)
    np.testing.assert_allclose(noise["vector"], embed_text("background noise"), atol=1e-5)
    assert (noise["remove"], noise["complement"]) == (False, False)
    assert noise["limit"] == MIXER.no_limit_db


@pytest.mark.parametrize("name", ["words.json", "doubt.json"])
@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        '{"families": {}}',
        '{"cosine": 1}',
        *(
            f'{{"cosine": 1, "limit_db": 9, "dim": 2, "vectors": "{text}"}}'
            for text in ("?", "AAAA", "AHwAfA==")
        ),
    ],
)
def test_words_that_are_damaged_are_one_sentence(packed, tmp_path, name, content):
    for other in ("text.onnx", "wordpiece.json"):
        (tmp_path / other).symlink_to(packed / other)
    (tmp_path / name).write_text(content)
    bundle = bundles.load(None)
    command = [words(), tools().library, tmp_path, bundle.encoder, str(bundle.query_dim)]
    done = subprocess.run(command, input=b"", capture_output=True)
    assert done.returncode != 0
    assert f"{name} cannot be read" in done.stderr.decode()
