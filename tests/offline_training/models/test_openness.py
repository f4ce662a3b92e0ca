"""The head that decides how open and how sharp masks are."""

import math

import pytest
import torch

from offline_training.models.openness import SHARPEST, WIDEST, OpennessHead, opened
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.streaming_state import Memory
from offline_training.models.unet import UNetConfig

SMALL = {"channels": (4, 4, 6, 6, 8, 8, 8), "dilations": (1, 4), "components": 5, "query_dim": 7}
HOP = 480


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MaskSeparator(SeparatorConfig(unet=UNetConfig(**SMALL, query_hidden=6, openness=True))).eval()


@pytest.fixture
def sound():
    g = torch.Generator().manual_seed(3)
    query = torch.nn.functional.normalize(torch.randn(2, 7, generator=g), dim=-1)
    return 0.2 * torch.randn(2, 1, 30 * HOP, generator=g), query


def test_by_hand():
    logits = torch.tensor([[[2.0, -1.0], [0.5, 0.0]]])
    decided = torch.tensor([[[math.log(3.0), 1.0], [0.0, -2.0]]])
    torch.testing.assert_close(opened(logits, decided), torch.tensor([[[7.0, -2.0], [-1.5, -2.0]]]))


def test_decisions_are_bounded_and_zero_at_first():
    head = OpennessHead(3)
    seen = 1e4 * torch.randn(2, 3, 5, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(head(seen), torch.zeros(2, 5, 2))
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(head(seen), head(1e-2 * seen))  # whatever the bottleneck's level
    head.linear.weight.data *= 1e4
    extremes = head(seen).abs().amax((0, 1))
    assert extremes.tolist() == pytest.approx([SHARPEST, WIDEST])


@torch.no_grad()
def test_an_untrained_head_changes_nothing(model, sound):
    audio, query = sound
    raw, _seen = model.raw_logits(model.spectra(audio, Memory()), query, Memory())
    assert torch.equal(model.logits(model.spectra(audio, Memory()), query, Memory()), raw)


@torch.no_grad()
def test_a_trained_head_opens_masks_frame_by_frame_without_a_state(model, sound):
    audio, query = sound
    model.unet.openness.linear.weight.normal_()
    spectra = model.spectra(audio, Memory())
    raw, seen = model.raw_logits(spectra, query, Memory())
    decided = model.unet.openness(seen)
    assert decided.shape == (2, 30, 2)
    assert decided.std(1).min() > 0
    logits = model.logits(spectra, query, Memory())
    torch.testing.assert_close(logits, opened(raw, decided))
    assert not torch.allclose(logits, raw)
    plain = MaskSeparator(SeparatorConfig(unet=UNetConfig(**SMALL, query_hidden=6)))
    assert model.state_shapes() == plain.state_shapes()
    past, pieces = None, []
    for part in audio.split([HOP * n for n in (1, 7, 2, 20)], dim=2):
        memory = Memory(past)
        pieces.append(model(part, query, memory))
        past = memory.future
    torch.testing.assert_close(torch.cat(pieces, dim=2), model(audio, query, Memory()), atol=1e-6, rtol=0)
