"""Queries that are typed in a plug-in: its tokenizer and its grammar against Python's."""

import json
import subprocess

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from daw_tools import words
from export.plugin.wordpiece import ranges, wordpiece
from marssep_rt.model import bundle as bundles
from marssep_rt.query.language import understand

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


def test_sentences_are_understood_as_in_the_runtime():
    for sentence, line in zip(SENTENCES, said(SENTENCES), strict=True):
        wish = understand(sentence)
        assert json.loads(line) == [list(wish.keep), list(wish.drop), wish.remove], sentence
