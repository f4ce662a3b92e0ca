"""Rewards by hand, and what they must not like."""

import numpy as np
import pytest
import torch

from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders
from offline_training.reinforce.reward import (
    FrozenEncoder,
    RewardConfig,
    level_guard,
    quality,
    silence,
    terms_of,
    total,
)

T = torch.linspace(0, 1, 4800)
TONE, HISS = torch.sin(2 * np.pi * 300 * T), torch.randn(4800, generator=torch.Generator().manual_seed(0))


def ear(sound):
    """Two directions: the tone's and the hiss's share."""
    tone = (sound @ TONE / TONE.norm()).abs()
    rest = (sound.square().sum(-1) - tone.square()).clamp(min=0).sqrt()
    return torch.nn.functional.normalize(torch.stack([tone, rest], 1), dim=1)


def rewards(ear, estimate, target, mixture, anchor, absent, config):
    terms = terms_of(ear, estimate, target, mixture, anchor, absent, config)
    return total(terms, config), terms


def test_terms_by_hand():
    sounds = torch.stack([TONE, TONE * 10 ** (13 / 20), TONE * 10 ** (-2 / 20)])
    torch.testing.assert_close(
        level_guard(sounds, TONE.expand(3, -1)), torch.tensor([0.0, -1.0, 0.0]), atol=1e-4, rtol=0
    )
    mixed = TONE + HISS * (TONE.norm() / HISS.norm()) * 10 ** (-10 / 20)
    assert quality(mixed[None], TONE[None]).item() == pytest.approx(1.0, abs=0.02)
    assert quality(HISS[None], TONE[None]).item() >= -2.0
    found = silence(torch.stack([TONE, TONE * 10 ** (-15 / 20), torch.zeros(4800)]), TONE.expand(3, -1))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5, 1.0]), atol=1e-4, rtol=0)


def test_the_reward_likes_the_target_and_the_guards_dislike_cheating():
    clean, both, nothing = TONE, TONE + 0.5 * HISS, TONE * 1e-4
    estimate = torch.stack([clean, both, nothing])
    target, mixture = TONE.expand(3, -1), both.expand(3, -1)
    anchor, absent = torch.tensor([[1.0, 0.0]]).expand(3, -1), torch.zeros(3, dtype=torch.bool)
    plain, _ = rewards(ear, estimate, target, mixture, anchor, absent, RewardConfig())
    assert plain[0] == pytest.approx(1.0, abs=1e-3)
    assert plain[0] > plain[1]
    assert plain[2] == pytest.approx(
        1.0, abs=1e-3
    )  # the cosine alone pays for a whisper: what the guard is for
    guarded, terms = rewards(
        ear, estimate, target, mixture, anchor, absent, RewardConfig(level=0.5, si_sdr=0.1)
    )
    assert guarded.argmax() == 0
    assert guarded[2] < guarded[1]
    assert set(terms) == {"cosine", "level", "si_sdr", "absent"}


def test_absent_targets_earn_silence_alone():
    estimate = torch.stack([TONE, TONE * 1e-3])
    found, _ = rewards(
        ear,
        estimate,
        torch.zeros(2, 4800),
        TONE.expand(2, -1),
        torch.zeros(2, 2),
        torch.tensor([True, True]),
        RewardConfig(absent=2),
    )
    torch.testing.assert_close(found, torch.tensor([0.0, 2.0]), atol=1e-4, rtol=0)


def test_the_margin_is_what_the_residual_lacks():
    """Half the tone earns the same cosine as all of it; only the margin says that a half is left."""
    mixture, half = TONE.expand(2, -1), torch.stack([TONE, 0.5 * TONE])
    anchor, absent = torch.tensor([[1.0, 0.0]]).expand(2, -1), torch.zeros(2, dtype=torch.bool)
    found, terms = rewards(ear, half, mixture, mixture, anchor, absent, RewardConfig(cosine=0.0, margin=1.0))
    torch.testing.assert_close(terms["cosine"], torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]), atol=1e-3, rtol=0)


def test_a_tower_hears_in_fp32_without_gradient_under_autocast():
    torch.manual_seed(0)
    hearing = FrozenEncoder(
        build_encoders(EncoderShape(widths=(4, 8, 8), dim=16), EncoderShape(widths=(4, 8, 8), dim=16)).audio
    )
    sound = torch.randn(2, 48_000, requires_grad=True) * 0.1
    plain = hearing(sound)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = hearing(sound)
    assert plain.dtype == torch.float32
    assert not plain.requires_grad
    torch.testing.assert_close(cast, plain)
    torch.testing.assert_close(plain.norm(dim=1), torch.ones(2))
