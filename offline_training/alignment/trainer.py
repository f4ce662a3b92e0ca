"""Progressive alignment of sound and sight with the text space (MARS-Sep eq. 7 to 9), stage by stage,
resumable.

Stage 0 pre-trains the builtin towers against the labels' text vectors. Then, as in the paper, each stage
starts from the best towers of the one before, trains what its recipe names (heads and temperature) and
replays earlier losses against forgetting:

1. audio-text: symmetric InfoNCE with paraphrases of the label, learned temperature;
2. audio-audio: InfoNCE between recordings of one label, triplets (hardest in the batch; a mixture must be
   further from its label and from another recording than the clean sound is), consistency of two views; plus
   stage 1;
3. audio-image: InfoNCE and triplets between recordings and photographs of one label, image-text; plus stages
   1 and 2.

The text vectors never move: what they are called in is what the separator and ``.query`` files were made for.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment.config import AlignmentConfig, StageConfig
from offline_training.alignment.data import Material
from offline_training.alignment.terms import Losses
from offline_training.encoders.pair import Towers, load, load_weights
from offline_training.utils import checkpoint_io
from offline_training.utils.run import log_lines, parameter_groups, stop_signals


@torch.no_grad()
def follow(average: Towers, towers: Towers, decay: float) -> None:
    """average <- decay average + (1 - decay) towers, norm statistics included."""
    theirs = towers.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])


def freeze(towers: Towers, trains: Sequence[str]) -> list[nn.Parameter]:
    """Only parameters named by ``trains`` move; norms of frozen parts keep their statistics. Returns what
    moves.
    """
    moving = []
    for name, parameter in towers.named_parameters():
        parameter.requires_grad_(any(name == t or name.startswith(t + ".") for t in trains))
        if parameter.requires_grad:
            moving.append(parameter)
    towers.train()
    for module in towers.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()
    if not moving:
        raise ValueError(f"nothing to train: no parameter is named {', '.join(trains)}")
    return moving


class Alignment:
    """A run in ``folder``: ``last.pt`` (everything), ``stage0.pt`` .. ``stage3.pt`` (the best towers of each
    stage), ``log.jsonl``.
    """

    def __init__(
        self,
        folder: Path,
        towers: Towers,
        material: Material,
        config: AlignmentConfig,
        measure: Callable[[Towers], dict[str, float]],
        describe: dict[str, Any],
    ) -> None:
        self.folder, self.towers, self.material, self.config, self.measure = (
            folder,
            towers,
            material,
            config,
            measure,
        )
        self.describe = describe
        self.reference = copy.deepcopy(towers.audio).eval().requires_grad_(False)  # as the run begins
        self.done: list[int] = []  # stages that are finished
        self.step, self.best = 0, -math.inf
        self.optimiser_state: dict[str, Any] | None = None
        self.average: Towers | None = None
        self.average_weights: dict[str, Tensor] = {}
        if (folder / "last.pt").exists():
            content = load(folder / "last.pt")
            load_weights(towers, content)
            self.done, self.step, self.best = content["done"], content["step"], content["best"]
            self.optimiser_state = content["optimiser"]
            self.average_weights = content.get("average", content["weights"])

    def save(self, name: str, **more: Any) -> None:
        content = {
            "kind": "towers",
            "describe": json.dumps(self.describe),
            "weights": self.towers.state_dict(),
            **more,
        }
        checkpoint_io.save(self.folder / name, content)

    def save_state(self, optimiser: torch.optim.Optimizer) -> None:
        """Everything that a resumed run needs, in the middle of a stage."""
        average = {} if self.average is None else {"average": self.average.state_dict()}
        self.save(
            "last.pt",
            done=self.done,
            step=self.step,
            best=self.best,
            optimiser=optimiser.state_dict(),
            **average,
        )

    def run(self, report: Callable[[dict[str, Any]], None] = lambda _: None) -> bool:
        """All stages to the end, or to SIGTERM/SIGINT (the state is saved first); returns whether it came to
        the end.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stop = False

        def ask_to_stop() -> None:
            self.stop = True

        with stop_signals(ask_to_stop), log_lines(self.folder / "log.jsonl", report) as write:
            for stage in self.config.stages:
                if stage.number in self.done:
                    continue
                if not self.material.photos and stage.weights.keys() & {"audio_image", "image_triplet"}:
                    write({"stage": stage.number, "skipped": "there are no photographs"})
                    self.done.append(stage.number)
                    continue
                self.run_stage(stage, write)
                if self.stop:
                    return False
        return True

    def run_stage(self, stage: StageConfig, write: Callable[[dict[str, Any]], None]) -> None:
        if not self.material.photos:
            stage = StageConfig(
                **{
                    **asdict(stage),
                    "weights": {k: w for k, w in stage.weights.items() if not k.startswith("image")},
                }
            )
        moving = freeze(self.towers, stage.trains)
        self.average = copy.deepcopy(self.towers).eval().requires_grad_(False) if stage.ema else None
        optimiser = torch.optim.AdamW(parameter_groups(moving, stage.weight_decay), lr=stage.lr)
        if self.optimiser_state is not None:
            optimiser.load_state_dict(self.optimiser_state)
            self.optimiser_state = None
            if self.average is not None:
                load_weights(self.average, {"weights": self.average_weights})
        else:
            self.step, self.best = 0, -math.inf
            self.check(stage, write)  # the towers as handed on are the first candidate
        sums: dict[str, float] = {}
        while self.step < stage.steps and not self.stop:
            rng = np.random.default_rng((self.config.seed, stage.number, self.step))
            torch.manual_seed(int(rng.integers(2**31)))
            rate = (
                stage.lr
                * min(1.0, (self.step + 1) / stage.warmup)
                * 0.5
                * (1 + math.cos(math.pi * self.step / stage.steps))
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            terms = Losses(self.towers, self.material, self.config, stage, rng, self.reference).all()
            optimiser.zero_grad(set_to_none=True)
            terms["loss"].backward()
            if torch.isfinite(nn.utils.clip_grad_norm_(moving, 1.0)):  # one bad vector must not end a run
                optimiser.step()
            self.step += 1
            if self.average is not None:
                follow(self.average, self.towers, min(stage.ema, (1 + self.step) / (10 + self.step)))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item()
            if self.step % 50 == 0:
                write(
                    {
                        "stage": stage.number,
                        "step": self.step,
                        "steps": stage.steps,
                        **{k: round(v / 50, 4) for k, v in sums.items()},
                    }
                )
                sums = {}
            if self.step % stage.validate_every == 0 or self.step == stage.steps:
                self.check(stage, write)
                self.save_state(optimiser)
        if self.stop:
            self.save_state(optimiser)
            return
        load_weights(self.towers, load(self.folder / f"stage{stage.number}.pt"))
        self.done.append(stage.number)
        self.save("last.pt", done=self.done, step=0, best=-math.inf, optimiser=None)

    def check(self, stage: StageConfig, write: Callable[[dict[str, Any]], None]) -> None:
        """Measure on val; the best so far becomes the stage's checkpoint."""
        if self.average is not None:
            figures = self.measure(self.average)
        else:
            modes = {name: module.training for name, module in self.towers.named_modules()}
            self.towers.eval()
            figures = self.measure(self.towers)
            for name, module in self.towers.named_modules():
                module.training = modes[name]
        score = sum(figures[name] for name in stage.select if name in figures)
        write(
            {
                "stage": stage.number,
                "step": self.step,
                "val": {k: round(v, 4) for k, v in figures.items()},
                "score": round(score, 4),
            }
        )
        if score > self.best or not stage.select:
            self.best = score
            best = self.towers if self.average is None else self.average
            self.save(
                f"stage{stage.number}.pt",
                stage=stage.number,
                step=self.step,
                val=figures,
                weights=best.state_dict(),
            )
