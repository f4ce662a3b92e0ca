"""The Beta mask policy against scipy and at its edges."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from offline_training.reinforce import policy

P = torch.tensor([0.0, 0.05, 0.3, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("kappa", [0.5, 3.0, 9.0, 50.0])
def test_against_scipy(kappa):
    a, b = (1 + kappa * P.numpy().astype(np.float64), 1 + kappa * (1 - P.numpy().astype(np.float64)))
    m = np.array([0.001, 0.2, 0.5, 0.77, 0.999, 0.4])
    beta = scipy.stats.beta(a, b)
    np.testing.assert_allclose(
        policy.log_prob(torch.from_numpy(m), P, kappa), beta.logpdf(m), rtol=2e-5, atol=3e-5
    )
    np.testing.assert_allclose(policy.entropy(P, kappa), beta.entropy(), rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(policy.mean(P, kappa), beta.mean(), rtol=1e-6)


def test_entropy_as_the_paper_s_numbers():
    np.testing.assert_allclose(
        policy.entropy(torch.tensor([0.5, 0.05, 0.0])), [-0.523, -1.094, -1.403], atol=1e-3
    )


def test_kl_against_a_sum_over_a_fine_grid():
    new, old = torch.tensor([0.2, 0.5, 0.0]), torch.tensor([0.3, 0.5, 1.0])
    m = (np.arange(400_000) + 0.5) / 400_000
    for p, q, found in zip(new.tolist(), old.tolist(), policy.kl(new, old).tolist(), strict=True):
        f, g = scipy.stats.beta(1 + 9 * p, 1 + 9 * (1 - p)), scipy.stats.beta(1 + 9 * q, 1 + 9 * (1 - q))
        assert found == pytest.approx(float(np.mean(f.pdf(m) * (f.logpdf(m) - g.logpdf(m)))), abs=2e-4)
    assert policy.kl(old, old).abs().max() < 1e-6


def test_samples_have_the_distribution_s_mean_and_spread():
    torch.manual_seed(0)
    for p in (0.0, 0.25, 1.0):
        drawn = policy.sample(torch.full((200_000,), p))
        beta = scipy.stats.beta(1 + 9 * p, 1 + 9 * (1 - p))
        assert drawn.mean().item() == pytest.approx(beta.mean(), abs=2e-3)
        assert drawn.std().item() == pytest.approx(beta.std(), abs=2e-3)
        assert drawn.min() >= policy.EDGE
        assert drawn.max() <= 1 - policy.EDGE
    assert not policy.sample(torch.tensor([0.5], requires_grad=True)).requires_grad


@pytest.mark.parametrize("p", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_bins_that_are_drawn_together_have_each_their_own_distribution(p):
    torch.manual_seed(0)
    drawn = policy.sample(torch.full((400, 20, 20), p), 9.0, (5, 4))
    beta = scipy.stats.beta(1 + 9 * p, 1 + 9 * (1 - p))
    alone = drawn[:, ::5, ::4].flatten().numpy()
    assert scipy.stats.kstest(alone, beta.cdf).statistic < 0.02
    assert drawn.min() >= policy.EDGE
    assert drawn.max() <= 1 - policy.EDGE


def test_a_block_goes_up_and_down_as_one_and_blocks_lie_elsewhere_every_time():
    torch.manual_seed(1)
    p = torch.rand(2, 30, 24)
    u = [policy.shared_quantiles(p.shape, (5, 4)) for _ in range(40)]
    edges = {tuple(int(e) for e in (x[0].diff(dim=0).abs().amax(1) > 0).nonzero()[:, 0][:2]) for x in u}
    assert len(edges) == 5  # the grid's five places along time
    assert all(b - a == 5 for a, b in edges)
    assert all(len(x[0].unique()) <= 7 * 7 for x in u)
    assert policy.quantile(u[0], p, 9.0).shape == p.shape
    low, high = (
        policy.quantile(torch.full_like(p, 0.2), p, 9.0),
        policy.quantile(torch.full_like(p, 0.8), p, 9.0),
    )
    assert torch.all(low < high)


def test_quantiles_are_scipys():
    u, p = np.meshgrid(np.linspace(0.02, 0.98, 37), np.linspace(0, 1, 23))
    for kappa in (3.0, 9.0, 30.0):
        found = policy.quantile(torch.from_numpy(u).float(), torch.from_numpy(p).float(), kappa).numpy()
        np.testing.assert_allclose(
            found, scipy.special.betaincinv(1 + kappa * p, 1 + kappa * (1 - p), u), atol=3e-3
        )


def test_the_same_seed_draws_the_same_mask():
    torch.manual_seed(3)
    first = policy.sample(P)
    torch.manual_seed(3)
    assert torch.equal(policy.sample(P), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_finite_and_fp32_at_the_edges_and_under_autocast(dtype):
    logits = torch.tensor([-200.0, -5.0, 0.0, 5.0, 200.0], dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p = torch.sigmoid(logits)
        mask = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0])
        values = [policy.log_prob(mask, p), policy.entropy(p), policy.kl(p, p.detach().flip(0))]
    for value in values:
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
    (gradient,) = torch.autograd.grad(sum(v.sum() for v in values), logits)
    assert torch.isfinite(gradient).all()


def test_the_score_is_the_closed_form():
    p = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float32, requires_grad=True)
    m = torch.tensor([0.3, 0.6, 0.2])
    (score,) = torch.autograd.grad(policy.log_prob(m, p).sum(), p)
    a, b = policy.concentrations(p.detach())
    expected = 9 * ((torch.log(m) - torch.digamma(a)) - (torch.log(1 - m) - torch.digamma(b)))
    torch.testing.assert_close(score, expected)


@pytest.mark.parametrize("kappa", [0.0, -1.0, float("nan")])
def test_kappa_must_be_above_zero(kappa):
    with pytest.raises(ValueError, match="kappa"):
        policy.sample(P, kappa)


@pytest.mark.parametrize("block", [(1, 1), (4, 8)])
def test_centred_samples_average_to_the_proposal_and_plain_ones_do_not(block):
    torch.manual_seed(0)
    for p in (0.0, 0.1, 0.5, 1.0):
        masks = policy.sample(torch.full((200, 64, 64), p), 9.0, block)
        assert policy.centred(masks, 9.0).mean().item() == pytest.approx(p, abs=0.01)
        assert masks.mean().item() == pytest.approx((1 + 9 * p) / 11, abs=0.01)
