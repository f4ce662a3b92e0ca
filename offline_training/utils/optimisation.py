"""One step of an optimiser, and weights averaged over steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from offline_training.utils.distributed import Processes


class Optimiser(Protocol):
    """What training needs of an optimiser; torch's have it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def zero_grad(self, set_to_none: bool = ...) -> None: ...

    def step(self) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def parameter_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, leave norms, biases and scales alone."""
    everything = list(parameters)
    decayed = [p for p in everything if p.dim() >= 2]
    free = [p for p in everything if p.dim() < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def set_rate(optimiser: Optimiser, rate: float) -> None:
    """The learning rate of every parameter."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def descend(
    optimiser: Optimiser,
    loss: Tensor,
    parameters: Sequence[nn.Parameter],
    clip: float = 1.0,
    processes: Processes | None = None,
) -> tuple[float, bool]:
    """A step down the gradient of a loss, of all processes together.

    Args:
        optimiser: Moves the parameters.
        loss: A scalar.
        parameters: Those whose gradients are clipped.
        clip: The largest norm of the gradient.
        processes: Those that train together; None: this one alone.

    Returns:
        The norm before clipping, and whether it was finite: if not, nothing moves, since one bad batch must
        not end a run.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if processes is not None:
        processes.mean_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    finite = bool(torch.isfinite(norm))
    if finite:
        optimiser.step()
    return norm.item(), finite


def young(decay: float, step: int) -> float:
    """The decay of averaged weights after ``step`` steps: less while the run is young."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model, norm statistics included; whole numbers are copied."""
    ours, theirs = average.state_dict(), model.state_dict()
    floats = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], 1 - decay)
    for name in ours.keys() - set(floats):
        ours[name].copy_(theirs[name])
