"""Training on several GPUs and machines through accelerate (``accelerate launch --num_processes N $(which
marssep) train ...``).

A step's batch is made of shards (``shards`` in a recipe's [train]), each drawn and sampled by a seed of its
own, and every process takes its share of them: losses and weights do not depend on how many processes there
are. Gradients are averaged once a step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from offline_training.utils.run import RunError


class Processes:
    """This process among those that train together; alone without a launcher. ``device``: as asked for, made
    this process's own.
    """

    def __init__(self, device: str = "cpu", alone: bool = False) -> None:
        self.accelerator: Any = None
        if not alone and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            try:
                from accelerate import Accelerator
            except ImportError as e:
                raise RunError('several processes need accelerate: pip install "marssep[research]"') from e
            self.accelerator = Accelerator(cpu=device == "cpu")
        self.rank = 0 if self.accelerator is None else int(self.accelerator.process_index)
        self.count = 1 if self.accelerator is None else int(self.accelerator.num_processes)
        self.device = torch.device(device) if self.accelerator is None else self.accelerator.device
        self.main = self.rank == 0

    def own(self, shards: int) -> tuple[int, ...]:
        """The numbers of this process's shards; raises RunError where they cannot be dealt evenly."""
        if shards % self.count:
            raise RunError(
                f"{shards} shards cannot be dealt to {self.count} processes; set shards in "
                "the recipe's [train] to a multiple"
            )
        each = shards // self.count
        return tuple(range(self.rank * each, (self.rank + 1) * each))

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes its mean over processes."""
        if self.accelerator is None:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        mean = self.accelerator.reduce(torch.cat([g.flatten() for g in grads]), reduction="mean")
        for grad, values in zip(grads, mean.split([g.numel() for g in grads]), strict=True):
            grad.copy_(values.view_as(grad))

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Every figure's mean over processes; all have the same names."""
        if self.accelerator is None:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64).to(self.device, torch.float32)
        return dict(zip(figures, self.accelerator.reduce(values, reduction="mean").tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return self.mean({"flag": float(flag)})["flag"] > 0

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, in the order of their ranks."""
        return rows if self.accelerator is None else self.accelerator.gather(rows)  # type: ignore[no-any-return]

    def wait(self) -> None:
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def with_norms(self, model: nn.Module, frozen: bool) -> nn.Module:
        """The model with batch norms that see the whole batch; raises RunError on CPUs, where torch cannot,
        unless they are ``frozen``.
        """
        if self.accelerator is None or frozen:
            return model
        if self.device.type != "cuda":
            raise RunError(
                "batch norms can be synchronised between GPUs only; set frozen_norms in the recipe's [train]"
            )
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
