"""The loop that all trainings share, by a task that only counts; the numbers are worked out by hand."""

import json
import math
import os
import signal

import pytest

from offline_training.utils.journal import open_journal, scalars
from offline_training.utils.loop import Loop, Meter, Position, Rhythm


class Counting:
    """A task whose step trains on its own number; the scores of its validations are given."""

    def __init__(self, scores, position=None):
        self.scores = iter(scores)
        self.position = position or Position()
        self.calls = []

    def batches(self, first):
        return iter(range(first, 1000))

    def train_step(self, batch):
        assert batch == self.position.step  # a resumed run goes on with the batch that was next
        self.position.step += 1
        return {"loss": float(batch)}

    def log_entry(self, means, rate):
        assert rate > 0
        return {"step": self.position.step, **means}

    def validate(self):
        return {"figure": next(self.scores)}

    def score(self, figures):
        return figures["figure"]

    def validation_entry(self, figures):
        return {"step": self.position.step, "val": dict(figures)}

    def save_best(self, figures):
        self.calls.append(("best", self.position.step, figures["figure"]))

    def save(self):
        self.calls.append(("last", self.position.step))


def run(folder, task, rhythm, **watchers):
    with open_journal(folder, **watchers) as journal:
        return Loop(task, rhythm).run(journal)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_entries_are_means_and_validations_come_when_they_are_due(tmp_path):
    task, seen = Counting([2.0, 1.0, 3.0]), []
    done = run(
        tmp_path, task, Rhythm(steps=7, log_every=2, validate_every=3), advance=lambda *a: seen.append(a)
    )
    assert done
    assert log(tmp_path) == [
        {"step": 2, "loss": 0.5},  # (0 + 1) / 2
        {"step": 3, "val": {"figure": 2.0}},
        {"step": 4, "loss": 2.5},  # (2 + 3) / 2
        {"step": 6, "loss": 4.5},  # (4 + 5) / 2
        {"step": 6, "val": {"figure": 1.0}},
        {"step": 7, "val": {"figure": 3.0}},  # the last step is always followed by one
    ]
    assert task.calls == [("best", 3, 2.0), ("last", 3), ("last", 6), ("best", 7, 3.0), ("last", 7)]
    assert task.position == Position(7, 3.0, 0)
    assert seen[0] == (1, 7, {"loss": 0.0})  # shown from the first step on
    assert [step for step, _, _ in seen] == list(range(1, 8))


def test_patience_counts_validations_without_a_new_best(tmp_path):
    task = Counting([1.0, 2.0, 2.0, 1.5, 9.0])
    assert run(tmp_path, task, Rhythm(steps=100, log_every=50, validate_every=2, patience=2))
    assert task.position == Position(8, 2.0, 2)  # as high as the best is no new best
    assert Loop(task, Rhythm(100, 50, 2, patience=2)).done
    assert not Loop(task, Rhythm(100, 50, 2)).done


def test_a_run_that_is_done_does_nothing(tmp_path):
    task = Counting([], Position(5, 1.0, 0))
    assert run(tmp_path, task, Rhythm(steps=5, log_every=1, validate_every=1))
    assert task.calls == []
    assert log(tmp_path) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_lets_the_step_finish_and_saves(tmp_path, name):
    before = signal.getsignal(getattr(signal, name))

    def advance(step, steps, figures):
        if step == 3:
            os.kill(os.getpid(), getattr(signal, name))

    task = Counting([])
    assert not run(tmp_path, task, Rhythm(steps=10, log_every=2, validate_every=10), advance=advance)
    assert task.calls == [("last", 3)]
    assert signal.getsignal(getattr(signal, name)) is before
    # the same command goes on
    task.scores = iter([4.0])
    assert run(tmp_path, task, Rhythm(steps=10, log_every=2, validate_every=10))
    assert log(tmp_path)[:3] == [
        {"step": 2, "loss": 0.5},
        {"step": 4, "loss": 3.0},  # the one step since
        {"step": 6, "loss": 4.5},
    ]


def test_what_was_saved_by_a_validation_is_not_saved_twice(tmp_path):
    def advance(step, steps, figures):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    task = Counting([1.0])
    assert not run(tmp_path, task, Rhythm(steps=10, log_every=5, validate_every=4), advance=advance)
    assert task.calls == [("best", 4, 1.0), ("last", 4)]


def test_what_a_run_begins_with_may_be_its_first_candidate(tmp_path):
    task = Counting([5.0, 4.0])
    assert run(tmp_path, task, Rhythm(steps=2, log_every=9, validate_every=9, validate_first=True))
    assert task.calls == [("best", 0, 5.0), ("last", 2)]
    resumed = Counting([4.0], Position(1, 5.0, 0))
    assert run(tmp_path, resumed, Rhythm(steps=2, log_every=9, validate_every=9, validate_first=True))
    assert resumed.calls == [("last", 2)]  # no second first candidate


def test_a_quiet_process_writes_nothing_and_can_be_stopped(tmp_path):
    with open_journal(tmp_path / "run", quiet=True) as journal:
        journal.write({"step": 1})
        journal.advance(1, 2, {})
        os.kill(os.getpid(), signal.SIGTERM)
        assert journal.stopped
    assert not (tmp_path / "run").exists()


def test_a_meter_forgets():
    meter = Meter()
    meter.add({"a": 1.0, "b": 4.0})
    meter.add({"a": 2.0})
    assert meter.means == {"a": 1.5, "b": 2.0}
    meter.reset()
    meter.add({"a": 7.0})
    assert meter.means == {"a": 7.0}


def test_scalars_of_a_stage_stand_under_its_number(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with scalars(tmp_path) as write:
        write({"stage": 2, "skipped": "no images"})
        write({"stage": 0, "step": 50, "steps": 90, "loss": 1.5})
        write({"stage": 1, "step": 50, "val": {"gap": 0.25}, "score": 0.25})
        write({"step": 7, "lr": 0.5})
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "stage0/train/loss",
        "stage1/train/score",
        "stage1/val/gap",
        "train/lr",
    }
    assert [(e.step, e.value) for e in events.Scalars("stage1/val/gap")] == [(50, 0.25)]


def test_a_position_begins_below_every_score():
    assert Position() == Position(0, -math.inf, 0)
