"""What a second look is worth, and the policy that decides how to ask again.

    python tests/benchmarks/second_look.py [--corpus cache/corpus] [--split test] [--judge JUDGE.pt]
    python tests/benchmarks/second_look.py --fit FILE.json [--rounds 3]

The first command measures the policy of the bundle, or with ``--policies FILE.json`` what ``--fit`` wrote:
the mean of its policies, then each of them.

``--fit`` tries every choice on mixtures of ``val`` and reinforces a policy by what each of them gains; unseen
labels take no part. What it prints are gains of policies that have not met the mixture's label (five folds).
The file is for ``marssep export bundle --second-look``. What was tried so far stands in ``--table``; with
``--rounds 0`` the policy is fitted to it again. That of the bundle is
``offline_training/checkpoints/second_look.npz``.
"""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import asking
import numpy as np
import torch

from marssep_rt.audio_io.array_source import ArraySource
from marssep_rt.query.audible import WINDOW_SECONDS, pass_heard
from marssep_rt.query.second_look import FEATURES, Choice, FirstPass, SecondLook
from marssep_rt.query.source_windows import source_windows
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from marssep_rt.utils.atomic_io import write_whole
from offline_training.alignment.judge import Judge
from offline_training.data.corpus import SAMPLE_RATE
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.metrics import ratio_db, si_sdr
from offline_training.evaluation.voice import EncoderVoice
from offline_training.reinforce.choices import ChoiceConfig, reinforced

CHOICES = (
    Choice(),
    Choice(away=0.5),
    Choice(away=0.7),
    Choice(heard=0.3, away=0.5),
    Choice(heard=0.5, away=0.5, leaked=0.0),
    Choice(heard=0.5, labels=1.0, away=0.5),
    Choice(labels=0.5, away=0.5),
    Choice(heard=0.5),
)
ABOUT_SILENCE = ("absent", "alone")  # their rewards are no improvements
SEEDS, FOLDS = 3, 5
UNTAUGHT = ("unseen", "speech", "wild")  # measured only
CLEANEST_DB = 40.0  # a target alone is not cleaner than that


class Asker:
    """Asks a bundle twice."""

    def __init__(self, bundle, corpus):
        self.listener, self.encoder = BundleListener(bundle), BuiltinEncoder(text=bundle.path)
        self.known = Vocabulary.of(bundle)
        self.voice = EncoderVoice(self.encoder, corpus, None, self.known, Words.of(bundle))
        self.plain = EncoderVoice(self.encoder, corpus, None, self.known, Words())

    def first(self, question):
        """The output of the first pass and what is heard of it; None where it is silent."""
        query = question.asks[0].query
        target = self.listener.separate(question.mixture[None], query[None])[0].numpy()
        sources = (ArraySource(x[None], SAMPLE_RATE) for x in (target, question.mixture[: len(target)]))
        windows = zip(*(source_windows(x, SAMPLE_RATE, WINDOW_SECONDS) for x in sources), strict=True)
        return target, FirstPass.of(pass_heard(out, dry, self.voice) for out, dry in windows)

    def look(self, weights):
        """A policy over ``CHOICES``."""
        vectors = self.known.vectors[: self.known.trained]
        return SecondLook(vectors, CHOICES, np.asarray(weights, np.float32))

    def again(self, question, asked):
        """The outputs for pairs of a query and what is pushed away."""
        queries, away = (np.stack(x) for x in zip(*asked, strict=True))
        return self.listener.separate(np.repeat(question.mixture[None], len(asked), 0), queries, away).numpy()


def drawn(sources, asker, count):
    """Questions of every set, drawn when it is their turn."""
    plain, voice, few = asker.plain, asker.voice, max(20, count // 3)
    said = suite.paraphrases(list(sources.clips))
    return {
        "seen": questions.by_label(sources, plain, count),
        "paraphrases": questions.by_words(sources, voice, said, 1),
        "words": questions.by_words(sources, voice, suite.read_words(), 2),
        "absent": questions.absent(sources, plain, few),
        "alone": (replace(x, mixture=x.target.copy()) for x in questions.by_label(sources, plain, few)),
        "unseen": questions.asked(
            sources, sources.unseen_pairs(), lambda pair: questions.said(voice, pair.target.label)
        ),
        "speech": questions.speech(sources, voice, few),
        "wild": questions.wild(sources, voice, few),
        "one new recording": questions.by_recordings(sources, voice, few, 1),
    }


def reward(name, question, output):
    """What an output is worth in dB: its improvement; alone its likeness; of an absent target its silence."""
    target, mixture = (torch.from_numpy(x[: len(output)]) for x in (question.target, question.mixture))
    output = torch.from_numpy(output)
    if name == "absent":
        return -float(ratio_db(output.square().sum(), mixture.square().sum()))
    if name == "alone":
        return min(CLEANEST_DB, float(si_sdr(output, target)))
    return float(si_sdr(output, target) - si_sdr(mixture, target))


class Tried:
    """What every choice earned of every mixture so far; it is kept in a file, so that a fit can go on.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path):
        self.path, self.rounds = path, 0
        self.sets, self.labels, self.features, self.rewards = [], [], [], []
        if path is not None and path.exists():
            with np.load(path) as kept:
                self.rounds = int(kept["rounds"])
                self.sets, self.labels = kept["sets"].tolist(), kept["labels"].tolist()
                self.features, self.rewards = (list(kept[x].astype(float)) for x in ("features", "rewards"))

    def columns(self):
        return tuple(map(np.array, (self.sets, self.labels, self.features, self.rewards)))

    def end_round(self):
        self.rounds += 1
        if self.path is not None:
            write_whole(self.path, packed(self.rounds, *self.columns()))


def packed(rounds, sets, labels, features, rewards):
    """The content of a file of ``Tried``; numbers are halves."""
    content = io.BytesIO()
    halves = {"features": features.astype(np.float16), "rewards": rewards.astype(np.float16)}
    np.savez_compressed(content, rounds=rounds, sets=sets, labels=labels, **halves)
    return content.getvalue()


def fit(bundle, sources_of, options):
    """Try all choices, reinforce, and say what policies gain on labels that they have not met."""
    tried = Tried(options.table)
    for _ in range(options.rounds):
        sources = sources_of(tried.rounds)
        asker = Asker(bundle, sources.corpus)
        look = asker.look(np.zeros((len(CHOICES), 1 + FEATURES)))
        for name, asked in drawn(sources, asker, options.mixtures).items():
            if name in UNTAUGHT:
                continue
            for question in asked:
                target, heard = asker.first(question)
                if heard is None:
                    continue
                query = question.asks[0].query
                outputs = asker.again(question, [look.made(c, query, heard) for c in CHOICES[1:]])
                tried.rewards.append([reward(name, question, x) for x in (target, *outputs)])
                tried.features.append(look.features(query, heard))
                tried.sets.append(name)
                tried.labels.append(question.label)
            print(f"round {tried.rounds + 1}: {name}, {len(tried.sets)} mixtures so far", flush=True)
        tried.end_round()
    if not tried.sets:
        raise SystemExit("nothing was tried yet: --rounds 1 or more, or a --table")
    write_whole(options.fit, (json.dumps(policy_of(*tried.columns())) + "\n").encode())


def policy_of(sets, labels, features, rewards):
    """What ``--fit`` writes: the mean of policies with other seeds, each of them, and what they gain."""
    gains = folded(labels, features, rewards) - rewards[:, 0]
    told = {}
    for name in dict.fromkeys(sets):
        told[str(name)] = told_of(name, rewards[sets == name, 0], gains[sets == name])
    seeds = seeded(features, rewards)
    return {
        "choices": [asdict(c) for c in CHOICES],
        "weights": np.round(np.mean(seeds, axis=0), 4).tolist(),
        "seeds": np.round(seeds, 4).tolist(),
        "gains_db": told,
        "mixtures": len(sets),
    }


def seeded(features, rewards):
    """Policies with other seeds."""
    return [reinforced(features, rewards, ChoiceConfig(seed=seed)) for seed in range(SEEDS)]


def folded(labels, features, rewards):
    """What the choices earn of policies that have not met a mixture's label."""
    order = np.random.default_rng(0).permutation(sorted(set(labels)))
    earned = np.zeros(len(labels))
    for fold in range(FOLDS):
        mine = np.isin(labels, order[fold::FOLDS])
        policy = np.mean(seeded(features[~mine], rewards[~mine]), axis=0)
        scores = np.c_[np.ones(mine.sum()), features[mine]] @ policy.T
        earned[mine] = rewards[mine, scores.argmax(1)]
    return earned


def told_of(name, before, gains):
    """The mean gain of a set, which is printed with its interval."""
    low, high = interval(gains, np.mean)
    worse = f"made worse {(before < 0).mean():.1%} -> {(before + gains < 0).mean():.1%}"
    change = f"{before.mean():.2f} dB {gains.mean():+.2f} ({low:+.2f}..{high:+.2f})"
    print(f"{name} ({len(gains)}): {change}" + ("" if name in ABOUT_SILENCE else f", {worse}"), flush=True)
    return round(float(gains.mean()), 2)


def measure(bundle, sources, options):
    """What the bundle's own second look gains, or several policies."""
    asker = Asker(bundle, sources.corpus)
    if options.policies is not None:
        content = json.loads(options.policies.read_text())
        looks = [asker.look(weights) for weights in (content["weights"], *content["seeds"])]
    elif asker.known.second_look is None:
        raise SystemExit("the bundle has no second look; fit one with --fit and export it")
    else:
        looks = [asker.known.second_look]
    judge = None if options.judge is None else Judge(options.judge, asker.encoder)
    for name, asked in drawn(sources, asker, options.mixtures).items():
        if options.only and name not in options.only:
            continue
        before, gains, liked = [], [], []
        for question in asked:
            target, heard = asker.first(question)
            query, outputs = question.asks[0].query, [target] * len(looks)
            if heard is not None:
                outputs = asker.again(question, [look.again(query, heard) for look in looks])
            before.append(reward(name, question, target))
            gains.append([reward(name, question, x) - before[-1] for x in outputs])
            if judge is not None and name in ("seen", "unseen", "paraphrases"):
                liked.append(judge.embed_audio([target, outputs[0]]) @ judge.embed_text([question.label])[0])
        for policy in np.array(gains).T:
            told_of(name, np.array(before), policy)
        if liked:
            liked = np.array(liked)
            low, high = interval(liked[:, 1] - liked[:, 0], np.mean)
            print(f"    judge {liked[:, 0].mean():.4f}, difference {low:+.4f}..{high:+.4f}", flush=True)


def main():
    parser = asking.parser(__doc__, 300)
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="of --fit, each with other mixtures")
    parser.add_argument(
        "--table", type=Path, help="of --fit: what was tried before is kept there and added to"
    )
    parser.add_argument("--policies", type=Path, help="what --fit wrote, instead of the bundle's policy")
    parser.add_argument("--only", action="append", help="a set")
    parser.add_argument("--judge", type=Path, help="an encoder that took no part")
    options = parser.parse_args()
    bundle, sources = asking.opened(options, unseen_mixtures=100)
    if options.fit is None:
        return measure(bundle, sources, options)

    def sources_of(turn):
        return replace(sources, config=replace(sources.config, seed=sources.config.seed + 1000 * (turn + 1)))

    return fit(bundle, sources_of, options)


if __name__ == "__main__":
    main()
