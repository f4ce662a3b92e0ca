"""What the benchmarks that ask a bundle questions have in common: their options, and what those name."""

import argparse
from dataclasses import replace
from pathlib import Path

from marssep_rt.model import bundle as bundles
from offline_training.cli.measuring import held_out_labels
from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig
from offline_training.evaluation.questions import Sources


def parser(description, mixtures):
    """The options that all have; ``mixtures``: how many by default."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--corpus", type=Path, default=Path("cache/corpus"))
    options.add_argument("--split", default="val")
    options.add_argument("--mixtures", type=int, default=mixtures)
    options.add_argument("--bundle", type=Path)
    return options


def opened(options, **settings):
    """The bundle, and the sources of its questions with further ``settings`` of ``EvalConfig``."""
    config = replace(EvalConfig(), split=options.split, **settings)
    unseen = held_out_labels(Path("sound_queries"))
    return bundles.load(options.bundle), Sources(Corpus(options.corpus), config, unseen)
