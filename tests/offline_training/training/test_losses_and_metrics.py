"""Values worked out by hand."""

import math

import pytest
import torch

from offline_training.evaluation.metrics import sdr, si_sdr
from offline_training.training.losses import compressed_magnitude_l1, leakage, negative_snr, weighted_bce

TARGET = torch.tensor([1.0, -1.0, 1.0, -1.0])
NOISE = torch.tensor([0.1, 0.1, -0.1, -0.1])  # orthogonal to the target, zero mean


def test_si_sdr_and_sdr_of_a_known_mixture():
    # target power 4, noise power 0.04: 20 dB
    assert si_sdr(TARGET + NOISE, TARGET).item() == pytest.approx(20.0, abs=1e-3)
    assert sdr(TARGET + NOISE, TARGET).item() == pytest.approx(20.0, abs=1e-3)


def test_scale_matters_for_sdr_only():
    assert si_sdr(0.5 * (TARGET + NOISE), TARGET).item() == pytest.approx(20.0, abs=1e-3)
    # half of the target is missing: error power 1 + 0.01, signal power 4
    assert sdr(0.5 * (TARGET + NOISE), TARGET).item() == pytest.approx(10 * math.log10(4 / 1.01), abs=1e-3)


def test_silence_is_finite():
    for f in (si_sdr, sdr):
        assert torch.isfinite(f(torch.zeros(4), TARGET))
        assert torch.isfinite(f(TARGET, torch.zeros(4)))


def test_negative_snr_bends_at_its_ceiling():
    # error 1, signal 4, and the ceiling's share 4 * 10^-2.5
    assert negative_snr(TARGET + 0.5, TARGET).item() == pytest.approx(
        10 * math.log10((1 + 4 * 10**-2.5) / 4), abs=1e-4
    )
    assert negative_snr(TARGET, TARGET).item() == pytest.approx(-25.0, abs=1e-3)


def test_leakage_is_the_level_left():
    assert leakage(0.1 * TARGET, TARGET).item() == pytest.approx(10 * math.log10(0.01 + 10**-2.5), abs=1e-4)
    assert leakage(torch.zeros(4), TARGET).item() == pytest.approx(-25.0, abs=1e-3)


def test_magnitude_loss_is_zero_for_the_true_mask():
    mixture = torch.full((1, 2, 3), 4.0)
    loss = compressed_magnitude_l1(torch.full((1, 2, 3), 0.5), mixture, mixture * 0.25)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    all_pass = compressed_magnitude_l1(torch.ones(1, 2, 3), mixture, torch.zeros(1, 2, 3))
    assert all_pass.item() == pytest.approx(1 - (1e-8 / 4) ** 0.15, abs=1e-3)


def test_magnitude_loss_has_a_finite_slope_at_mask_zero():
    mask = torch.zeros(1, 1, 2, requires_grad=True)
    compressed_magnitude_l1(mask, torch.ones(1, 1, 2), torch.ones(1, 1, 2)).sum().backward()
    assert torch.isfinite(mask.grad).all()


def test_weighted_bce_by_hand():
    # one bin dominated by the target, one not; logits 0 give ln 2 each, whatever the weights
    loss = weighted_bce(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 9.0]]]), torch.tensor([[[0.9, 0.1]]]))
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    # a confident right answer on the louder bin, wrong on the quieter: weights log1p(1), log1p(3)
    loss = weighted_bce(
        torch.tensor([[[-8.0, -8.0]]]), torch.tensor([[[1.0, 9.0]]]), torch.tensor([[[0.9, 0.1]]])
    )
    weights = math.log1p(1), math.log1p(3)
    wrong, right = math.log1p(math.exp(8)), math.log1p(math.exp(-8))
    assert loss.item() == pytest.approx((weights[0] * wrong + weights[1] * right) / sum(weights), rel=1e-5)
