"""The streaming U-Net that proposes a mask for a mixture and a query.

Seven levels halve frequency from 128 bands to one; time is never strided and kernels look back only, so the
network gives one mask frame per hop. The query enters every level (FiLM, Perez et al. 2018) and once more in
the paper's weighted sum of K mask components (MARS-Sep section 3): logit = sum_k sigmoid(w_k . q) s_k feat_k
+ b.

Layout inside: [B, channels, frames, bands].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from offline_training.models.openness import OpennessHead, opened
from offline_training.models.streaming_state import Memory
from offline_training.utils.recipe import Key

CHANNELS = (32, 48, 64, 96, 112, 112, 112)
DILATIONS = (1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the streaming U-Net."""

    bands: Annotated[int, Key("Bands of the mask; every level halves them, down to one.", least=1)] = 128
    channels: Annotated[tuple[int, ...], Key("Channels of the levels, outermost first.", least=1)] = CHANNELS
    dilations: Annotated[tuple[int, ...], Key("Dilations of the bottleneck in frames.", least=1)] = DILATIONS
    components: Annotated[int, Key("Mask components that the query weighs.", least=1)] = 32
    query_dim: Annotated[int, Key("Of a query; by default those of the query table.", least=1)] = 384
    query_hidden: Annotated[int, Key("Features that are made of a query.", least=1)] = 96
    other: Annotated[bool, Key("A second vector says what to push away.")] = False
    query_inner: Annotated[
        int, Key("Width of a residual layer between query and FiLM; 0: no such layer.", least=0)
    ] = 0
    band_memory: Annotated[
        tuple[int, ...], Key("Bands of the levels whose encoder remembers each band for itself.", least=1)
    ] = ()
    decoder_memory: Annotated[
        tuple[int, ...], Key("Bands of the levels whose decoder does, too; the outermost has 64.", least=1)
    ] = ()
    band_dilations: Annotated[tuple[int, ...], Key("Their dilations in frames.", least=1)] = (
        1,
        4,
        16,
    )
    openness: Annotated[
        bool, Key("A head decides for every frame how sharp a mask is, and how open; nothing at first.")
    ] = False


class Film(nn.Module):
    """Scale and shift of each channel from the query: x * (1 + gamma(h)) + beta(h). ``modulations`` makes
    them for all blocks at once.
    """

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 2 * channels)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)


Modulation = tuple[Tensor, Tensor]  # scale and shift, [B, channels, 1, 1] each


def modulations(films: Sequence[Film], h: Tensor) -> list[Modulation]:
    """What each of ``films`` makes of the query's features ``h`` [B, hidden].

    By one product: twenty-five small ones, and what goes with each, took a tenth of a streamed hop.
    """
    linears = [film.linear for film in films]
    sizes = [linear.out_features // 2 for linear in linears for _ in range(2)]
    ones = torch.cat(
        [h.new_full((size,), float(i % 2 == 0)) for i, size in enumerate(sizes)]
    )  # scale is 1 + gamma
    weight, bias = (
        torch.cat([linear.weight for linear in linears]),
        torch.cat([linear.bias for linear in linears]),
    )
    parts = nn.functional.linear(h, weight, bias + ones)[:, :, None, None].split(sizes, dim=1)
    return list(zip(parts[::2], parts[1::2], strict=True))


class CausalBlock(nn.Module):
    """Causal convolution over (time, bands), batch norm, FiLM, leaky ReLU; with ``residual`` the input is
    added back.
    """

    def __init__(
        self, name: str, channels: int, hidden: int, bands: int, kernel: tuple[int, int], dilation: int = 1
    ) -> None:
        super().__init__()
        self.name = name
        self.past_frames = (kernel[0] - 1) * dilation
        self.bands = bands
        self.conv = nn.Conv2d(
            channels, channels, kernel, padding=(0, kernel[1] // 2), dilation=(dilation, 1), bias=False
        )
        self.norm = nn.BatchNorm2d(channels, momentum=0.02)
        self.film = Film(hidden, channels)

    @property
    def state_shape(self) -> tuple[int, int, int]:
        return (self.conv.in_channels, self.past_frames, self.bands)

    def forward(self, x: Tensor, modulation: Modulation, memory: Memory) -> Tensor:
        y = self.norm(self.conv(memory.extend(self.name, x, self.past_frames, dim=2)))
        scale, shift = modulation
        return x + nn.functional.leaky_relu(torch.addcmul(shift, y, scale), 0.1)


class BandMemory(nn.Module):
    """What each band did before: a depthwise causal convolution over time and a mix of channels, added to the
    input; zero at first.
    """

    def __init__(self, name: str, channels: int, bands: int, dilation: int) -> None:
        super().__init__()
        self.name, self.bands, self.past_frames = name, bands, 2 * dilation
        self.depthwise = nn.Conv2d(
            channels, channels, (3, 1), dilation=(dilation, 1), groups=channels, bias=False
        )
        self.norm = nn.BatchNorm2d(channels, momentum=0.02)
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]

    @property
    def state_shape(self) -> tuple[int, int, int]:
        return (self.depthwise.in_channels, self.past_frames, self.bands)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        y = self.norm(self.depthwise(memory.extend(self.name, x, self.past_frames, dim=2)))
        return x + self.mix(nn.functional.leaky_relu(y, 0.1))


def band_memories(name: str, channels: int, bands: int, config: UNetConfig) -> nn.ModuleList:
    """One after another, a memory for each of the dilations."""
    return nn.ModuleList(
        BandMemory(f"{name}_{i}", channels, bands, dilation)
        for i, dilation in enumerate(config.band_dilations)
    )


INNER = slice(1, 3)  # of a kernel over four bands: what meets two bands with nothing beside them


class Down(nn.Module):
    """Halve the bands: convolution over four bands at stride two, one frame at a time.

    From two bands to one the padding's share of the kernel is left out: the same numbers, and oneDNN's
    bfloat16 kernels for AMX (torch 2.11) read uninitialised memory in that very shape.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, (1, 4), stride=(1, 2), padding=(0, 1), bias=False)
        self.norm = nn.BatchNorm2d(channels_out, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        y = (
            nn.functional.conv2d(x, self.conv.weight[..., INNER], self.conv.bias)
            if x.shape[3] == 2
            else self.conv(x)
        )
        return nn.functional.leaky_relu(self.norm(y), 0.1)


class Up(nn.Module):
    """Double the bands, add the skip connection; from one band to two as ``Down`` the other way."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(
            channels_in, channels_out, (1, 4), stride=(1, 2), padding=(0, 1), bias=False
        )
        self.norm = nn.BatchNorm2d(channels_out, momentum=0.02)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        conv = self.conv
        y = (
            nn.functional.conv_transpose2d(x, conv.weight[..., INNER], conv.bias)
            if x.shape[3] == 1
            else conv(x)
        )
        return nn.functional.leaky_relu(self.norm(y) + skip, 0.1)


ADDED = (
    "other.",
    "query_inner.",
    "query_outer.",
    "remember.",
    "openness.",
)  # parts that change nothing at first: older weights may lack them


class StreamingUNet(nn.Module):
    """Band features [B, 1, T, bands], a unit query [B, query_dim] and perhaps what to push away -> mask
    logits [B, T, bands].

    The mask P is their sigmoid.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        if config.bands != 2 ** len(config.channels):
            raise ValueError(
                f"{len(config.channels)} levels halve {2 ** len(config.channels)} bands to "
                f"one, not {config.bands}"
            )
        self.config = config
        hidden = config.query_hidden
        self.query = nn.Sequential(nn.Linear(config.query_dim, hidden), nn.LeakyReLU(0.1))
        self.other = self.query_inner = self.query_outer = None
        if config.other:
            self.other = nn.Linear(config.query_dim, hidden, bias=False)
            nn.init.zeros_(self.other.weight)
        if config.query_inner:
            self.query_inner = nn.Linear(config.query_dim * (2 if config.other else 1), config.query_inner)
            self.query_outer = nn.Linear(config.query_inner, hidden, bias=False)
            nn.init.zeros_(self.query_outer.weight)
        self.input_norm = nn.BatchNorm2d(1, momentum=0.02)
        self.downs, self.encoder, self.ups, self.decoder = (nn.ModuleList() for _ in range(4))
        self.remember = nn.ModuleDict()  # by level
        bands, before = config.bands, 1
        for level, channels in enumerate(config.channels):
            bands //= 2
            self.downs.append(Down(before, channels))
            kernel = (
                (2, 3) if bands > 1 else (2, 1)
            )  # time is the bottleneck's business: two frames here cost a third less than three
            self.encoder.append(CausalBlock(f"encoder{level}", channels, hidden, bands, kernel))
            if bands in config.band_memory:
                self.remember[str(level)] = band_memories(f"band_memory{level}", channels, bands, config)
            if level < len(config.channels) - 1:
                self.ups.append(Up(config.channels[level + 1], channels))
                self.decoder.append(CausalBlock(f"decoder{level}", channels, hidden, bands, kernel))
                if bands in config.decoder_memory:
                    name = f"decoder_memory{level}"
                    self.remember[f"decoder{level}"] = band_memories(name, channels, bands, config)
            before = channels
        self.bottleneck = nn.ModuleList(
            CausalBlock(f"bottleneck{i}", before, hidden, 1, (3, 1), dilation)
            for i, dilation in enumerate(config.dilations)
        )
        self.components = nn.ConvTranspose2d(
            config.channels[0], config.components, (1, 4), stride=(1, 2), padding=(0, 1)
        )
        self.component_gate = nn.Linear(hidden, config.components)
        self.component_scale = nn.Parameter(torch.ones(config.components))
        self.bias = nn.Parameter(torch.zeros(()))
        self.openness = OpennessHead(before) if config.openness else None

    def blocks(self) -> list[CausalBlock]:
        """Every block that the query modulates."""
        return [m for m in self.modules() if isinstance(m, CausalBlock)]

    def state_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Shape of each block's past without the batch dimension: (channels, frames, bands)."""
        return {m.name: m.state_shape for m in self.modules() if isinstance(m, (CausalBlock, BandMemory))}

    def query_features(self, query: Tensor, other: Tensor | None) -> Tensor:
        """What FiLM is made of, [B, hidden], from the query and what to push away (None or zeros: nothing is
        known of it).
        """
        linear, bend = self.query
        joined = query * self.config.query_dim**0.5
        h = linear(joined)
        if self.other is not None:
            away = torch.zeros_like(query) if other is None else other * self.config.query_dim**0.5
            h = h + self.other(away)
            joined = torch.cat([joined, away], dim=1)
        h = bend(h)
        if self.query_inner is not None and self.query_outer is not None:
            h = h + self.query_outer(nn.functional.leaky_relu(self.query_inner(joined), 0.1))
        return h  # type: ignore[no-any-return]

    def remembered(self, place: str, x: Tensor, memory: Memory) -> Tensor:
        """What the band memories of a place make of its output; the output where it has none."""
        if place in self.remember:
            for remember in self.remember[place]:  # type: ignore[attr-defined]
                x = remember(x, memory)
        return x

    def forward(self, features: Tensor, query: Tensor, memory: Memory, other: Tensor | None = None) -> Tensor:
        logits, seen = self.raw(features, query, memory, other)
        return logits if self.openness is None else opened(logits, self.openness(seen))

    def raw(
        self, features: Tensor, query: Tensor, memory: Memory, other: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The logits before the decisions of the head, [B, T, bands], and what the head decides by: the
        bottleneck's output [B, channels, T, 1]. The arguments are those of ``forward``.
        """
        h = self.query_features(query, other)
        blocks = self.blocks()
        asked: dict[nn.Module, Modulation] = dict(
            zip(blocks, modulations([block.film for block in blocks], h), strict=True)
        )
        x = self.input_norm(features)
        skips: list[Tensor] = []
        for level, (down, block) in enumerate(zip(self.downs, self.encoder, strict=True)):
            x = self.remembered(str(level), block(down(x), asked[block], memory), memory)
            skips.append(x)
        for block in self.bottleneck:
            x = block(x, asked[block], memory)
        seen = x
        for level in reversed(range(len(self.ups))):
            block = self.decoder[level]
            x = block(self.ups[level](x, skips[level]), asked[block], memory)
            x = self.remembered(f"decoder{level}", x, memory)
        maps = self.components(x).permute(0, 2, 3, 1)  # [B, T, bands, K]; a view in channels_last
        weights = torch.sigmoid(self.component_gate(h)) * self.component_scale
        batch, _frames, bands, components = maps.shape
        total = torch.matmul(maps.reshape(batch, -1, components), weights.unsqueeze(2).to(maps.dtype))
        return total.reshape(batch, -1, bands) + self.bias, seen
