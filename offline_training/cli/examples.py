"""The groups of ``marssep train``'s help, and an example of every command."""

from __future__ import annotations

GROUPS: dict[str, dict[str, str]] = {
    "Recordings": {
        "manifest": "sounds/ -o sounds.csv",
        "corpus": "sounds.csv -o cache/corpus",
        "notice": "--corpus cache/corpus -o NOTICE",
        "field-lists": "--train train.csv --test test.csv --root audio/ -o lists",
    },
    "Queries and encoders": {
        "trunk": "yamnet.tflite -o runs/yamnet.pt",
        "space": "--trunk runs/yamnet.pt -o runs/space",
        "text": "--places runs/space/places.npz -o runs/text",
        "align": "--recipe ear --start runs/space/ear.pt --queries runs/text/queries.npz -o runs/ear",
        "judge": "--queries runs/queries.npz -o runs/judge",
        "embed": "--corpus cache/corpus -o runs/queries.npz",
        "query": '--encoder clap+clip --query "dog barking" -o dog.query',
        "vocabulary": "--checkpoint runs/mine/best.pt -o sounds.json",
    },
    "Separators": {
        "rebase": "offline_training/checkpoints/base.pt --queries runs/queries.npz -o runs/rebased.pt",
        "supervise": "--start offline_training/checkpoints/base.pt --recipe 3_restart -o runs/mine",
        "reinforce": "--start runs/mine/best.pt -o runs/better",
        "average": "runs/a/best.pt runs/b/best.pt -o runs/mean.pt",
    },
    "Measuring": {
        "evaluate": "mine.marssep --corpus cache/corpus --split val -o figures.json",
        "suite": "mine.marssep --corpus cache/corpus --split val -o suite.json",
        "semantics": "--run runs/ear -o semantics.json",
        "clean-plus": "best.pt --targets test-good.csv --others test-no-music.csv -o clean.json",
        "lass": "mine.marssep --protocol audiosep --list esc50_eval.csv --audio esc50/ -o esc50.json",
        "experiment": "--recipe ablation --start runs/mine/best.pt -o runs/ablation",
    },
}
