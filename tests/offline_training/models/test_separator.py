"""The streaming U-Net and the separator around it: causality, stream == offline, reconstruction, size."""

import numpy as np
import pytest
import torch

from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.stft import SpectralConfig
from offline_training.models.streaming_state import Memory
from offline_training.models.unet import Film, StreamingUNet, UNetConfig, modulations

HOP = 480


def small(bands=128):
    return UNetConfig(
        bands=bands,
        channels=(4, 4, 6, 6, 8, 8, 8),
        dilations=(1, 4, 9),
        components=5,
        query_dim=7,
        query_hidden=6,
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MaskSeparator(SeparatorConfig(SpectralConfig(), small()))
    for module in model.modules():  # norms with something to do, as after training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
    return model.eval()


def inputs(hops, streams=1, channels=1):
    g = torch.Generator().manual_seed(3)
    query = torch.nn.functional.normalize(torch.randn(streams, 7, generator=g), dim=-1)
    audio = 0.2 * torch.randn(streams, channels, hops * HOP, generator=g)
    audio[..., 5 * HOP : 9 * HOP] = 0.0  # silence must not confuse anything
    return audio, query


@torch.no_grad()
def stream(model, audio, query, split):
    past, at, outs = None, 0, []
    for n in split:
        memory = Memory(past)
        outs.append(model(audio[..., at * HOP : (at + n) * HOP], query, memory))
        past, at = memory.future, at + n
    return torch.cat(outs, dim=-1)


@pytest.mark.parametrize("channels", [1, 2])
def test_stream_equals_offline_over_random_chunkings(model, channels):
    audio, query = inputs(40, streams=2, channels=channels)
    whole = stream(model, audio, query, [40])
    rng = np.random.default_rng(0)
    for _ in range(6):
        split = []
        while sum(split) < 40:
            split.append(min(int(rng.integers(1, 9)), 40 - sum(split)))
        torch.testing.assert_close(stream(model, audio, query, split), whole, atol=1e-6, rtol=0)


def test_prefix_invariance(model):
    audio, query = inputs(30)
    changed = audio.clone()
    changed[..., 17 * HOP :] = torch.randn(changed[..., 17 * HOP :].shape)
    a, b = stream(model, audio, query, [30]), stream(model, changed, query, [30])
    torch.testing.assert_close(a[..., : 17 * HOP], b[..., : 17 * HOP], atol=0, rtol=0)
    assert not torch.equal(a[..., 17 * HOP :], b[..., 17 * HOP :])


def test_a_mask_of_ones_gives_the_input_back_late_by_the_latency(model):
    audio, _ = inputs(20, streams=2, channels=2)
    memory = Memory()
    spectra = model.spectra(audio, memory)
    out = model.apply_mask(spectra, torch.ones_like(spectra.band_power), memory)
    torch.testing.assert_close(out[..., model.latency :], audio[..., : -model.latency], atol=1e-5, rtol=0)


def test_stereo_of_twins_is_mono_and_opposite_phases_do_not_cancel(model):
    audio, query = inputs(20)
    mono = stream(model, audio, query, [20])
    twins = stream(model, audio.repeat(1, 2, 1), query, [20])
    torch.testing.assert_close(twins, mono.repeat(1, 2, 1), atol=1e-6, rtol=0)
    opposite = stream(model, torch.cat([audio, -audio], dim=1), query, [20])
    torch.testing.assert_close(opposite[:, :1], mono, atol=1e-6, rtol=0)


def test_state_shapes_are_what_the_memory_holds(model):
    audio, query = inputs(3, streams=2, channels=2)
    memory = Memory()
    model(audio, query, memory)
    sizes = {"B": 2, "C": 2}
    expected = {k: tuple(sizes.get(d, d) for d in shape) for k, shape in model.state_shapes().items()}
    assert {k: tuple(v.shape) for k, v in memory.future.items()} == expected


def test_query_matters_at_the_output(model):
    audio, query = inputs(10)
    assert not torch.allclose(stream(model, audio, query, [10]), stream(model, audio, -query, [10]))


def test_modulations_of_all_blocks_at_once_are_those_of_each():
    torch.manual_seed(0)
    films = [Film(6, channels) for channels in (3, 5, 4)]
    for film in films:
        torch.nn.init.normal_(film.linear.bias)
    h = torch.randn(2, 6)
    for film, (scale, shift) in zip(films, modulations(films, h), strict=True):
        gamma, beta = film.linear(h).chunk(2, dim=1)
        torch.testing.assert_close(scale[:, :, 0, 0], 1 + gamma)
        torch.testing.assert_close(shift[:, :, 0, 0], beta)


def test_the_shipped_size_is_within_its_budget():
    config = SeparatorConfig()
    model = MaskSeparator(config)
    assert sum(p.numel() for p in model.parameters()) <= 2_000_000
    assert len(config.unet.channels) == 7
    assert config.unet.components == 32
    assert model.latency + config.spectral.hop <= 960


def test_levels_must_halve_the_bands_to_one():
    with pytest.raises(ValueError, match="halve 128 bands"):
        StreamingUNet(small(bands=64))


def test_mask_is_finite_under_bf16():
    torch.manual_seed(0)
    unet = StreamingUNet(small()).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = unet(
            torch.rand(2, 1, 20, 128), torch.nn.functional.normalize(torch.randn(2, 7), dim=-1), Memory()
        )
    logits.float().sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in unet.parameters())
