"""The separator as one pure function: audio, query and state in, target and next state out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from marssep_rt.model.stream import MIXING
from offline_training.models.separator import MaskSeparator
from offline_training.models.streaming_state import Memory
from offline_training.models.unet import BandMemory, CausalBlock, Down, Up


class Affine(nn.Module):
    """What a batch norm of one channel is once it is frozen."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.reshape(1, -1, 1, 1))
        self.register_buffer("shift", (norm.bias.detach() - norm.running_mean * scale).reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def fold_norms(model: MaskSeparator) -> MaskSeparator:
    """A copy in eval mode with every batch norm folded into the convolution before it."""
    model = copy.deepcopy(model).eval().float()
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in model.modules():
        if isinstance(module, BandMemory):
            module.depthwise = fuse_conv_bn_eval(module.depthwise, module.norm)
            module.norm = nn.Identity()  # type: ignore[assignment]
        if isinstance(module, (CausalBlock, Down, Up)):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm, transpose=isinstance(module, Up))
            module.norm = nn.Identity()  # type: ignore[assignment]
    model.unet.input_norm = Affine(model.unet.input_norm)  # type: ignore[assignment]
    return model


class StreamingGraph(nn.Module):
    """(audio [B, C, n*hop], query [B, D], also, drop [B, B], *state) -> (target, *next state).

    ``also`` and ``drop`` say how the masks of streams of one mixture are put together, see ``combined``. If
    the network takes a vector to push away, ``other`` [B, D] follows the query; zeros: nothing known.
    A given ``query`` is baked in: forward then takes (audio, *state).
    """

    query: Tensor

    def __init__(self, model: MaskSeparator, query: Tensor | None = None) -> None:
        super().__init__()
        self.model: MaskSeparator = fold_norms(model)
        self.shapes = model.state_shapes()
        self.names = list(self.shapes)
        self.baked = query is not None
        self.takes_other = model.config.unet.other and not self.baked
        if query is not None:
            self.register_buffer("query", query.reshape(1, -1))

    @property
    def vectors(self) -> list[str]:
        """Names of the inputs that say what is asked for."""
        return [] if self.baked else ["query", "other"] if self.takes_other else ["query"]

    @property
    def mixing(self) -> list[str]:
        """Names of the inputs that put masks together."""
        return [] if self.baked else list(MIXING)

    def zeros(self, streams: int, channels: int) -> tuple[Tensor, ...]:
        """The state at the start of a stream."""
        sizes = {"B": streams, "C": channels}
        return tuple(
            torch.zeros([sizes[d] if isinstance(d, str) else d for d in shape])
            for shape in self.shapes.values()
        )

    def forward(self, audio: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        query = self.query.expand(audio.shape[0], -1) if self.baked else rest[0]
        other = rest[1] if self.takes_other else None
        first = len(self.vectors) + len(self.mixing)
        memory = Memory(dict(zip(self.names, rest[first:], strict=True)))
        spectra = self.model.spectra(audio, memory)
        logits = self.model.logits(spectra, query, memory, other)
        mask = combined(logits, *rest[len(self.vectors) : first]) if self.mixing else torch.sigmoid(logits)
        target = self.model.apply_mask(spectra, mask, memory)
        return (target, *(memory.future[name] for name in self.names))


def combined(logits: Tensor, also: Tensor, drop: Tensor) -> Tensor:
    """Masks of several sounds: (1 - prod_j (1 - m_j)^also_ij) prod_j (1 - m_j)^(drop_ij / 2), also_ii = 1.

    Of the ways in ``tests/benchmarks/several_queries.py``, this union makes the fewest mixtures worse, and
    the root leaves more of a target that a dropped sound overlaps than 1 - m_j does. Written with products
    instead of a matrix product, so that a zero [1, 1] serves any number of streams.

    Args:
        logits: Of the streams' own masks, [B, T, bands].
        also: [B, B] of 0 and 1: the streams whose masks are united with a stream's own; the diagonal is 0.
        drop: [B, B] of 0 and 1: the streams whose masks are taken out.

    Returns:
        [B, T, bands], 0..1.
    """
    mask = torch.sigmoid(logits)
    # 1 - sigmoid(x) = exp(-softplus(x)), exact where the mask is nearly 1
    closed = nn.functional.softplus(logits).unsqueeze(0)
    others = 1.0 - torch.exp(-(also[:, :, None, None] * closed).sum(1))
    kept = mask + (1.0 - mask) * others
    return kept * torch.exp(-0.5 * (drop[:, :, None, None] * closed).sum(1))
