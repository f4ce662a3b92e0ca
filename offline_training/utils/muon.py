"""Muon for matrices and kernels, AdamW for everything else, as one optimiser.

Muon (Jordan et al. 2024) moves a matrix along the orthogonal factor of its momentum, so that all its
directions learn at one pace. ``torch.optim.Muon`` takes matrices only: kernels are handed to it as views of
their own memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from offline_training.utils.optimisation import parameter_groups

LEAST_SIDE = 16  # of a matrix: smaller ones have no directions worth telling apart


def matrix_view(tensor: Tensor) -> Tensor:
    """A matrix, or a kernel [out, in, time, bands] as the matrix [out, time x bands x in]: the order in which
    channels_last keeps it, so that the view needs no copy.
    """
    return tensor if tensor.dim() == 2 else tensor.permute(0, 2, 3, 1).reshape(tensor.shape[0], -1)


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon moves a parameter: both sides of its matrix have LEAST_SIDE and more entries."""
    if parameter.dim() not in (2, 4):
        return False
    rows = parameter.shape[0]
    return min(rows, parameter.numel() // rows) >= LEAST_SIDE


class MuonWithAdamW:
    """An optimiser with the face of torch's: groups with a learning rate, one state.

    Muon's steps have the size of AdamW's (Liu et al. 2025, 0.2 sqrt(longer side)), so both take one rate.

    Args:
        parameters: All that learn. Kernels must be in channels_last or have one entry in time and bands.
        lr: Learning rate.
        weight_decay: Of matrices and kernels.
        betas: AdamW's decays of the moments.

    Raises:
        ValueError: A kernel is not in channels_last.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, betas: tuple[float, float]
    ) -> None:
        everything = list(parameters)
        self.moved = [p for p in everything if is_matrix(p)]
        self.views = [nn.Parameter(matrix_view(p.detach())) for p in self.moved]
        if any(view.data_ptr() != p.data_ptr() for view, p in zip(self.views, self.moved, strict=True)):
            raise ValueError("Muon needs kernels in channels_last")
        groups = parameter_groups((p for p in everything if not is_matrix(p)), weight_decay)
        self.muon = torch.optim.Muon(
            self.views, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        self.adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both; a rate that is set in them is used."""
        return [*self.muon.param_groups, *self.adamw.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.adamw.zero_grad(set_to_none)
        for parameter in self.moved:
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for view, parameter in zip(self.views, self.moved, strict=True):
            view.grad = None if parameter.grad is None else matrix_view(parameter.grad)
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """Both states."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with both states."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
