"""Muon moves kernels as matrices, in their own memory; everything else is AdamW's."""

import pytest
import torch
from torch import nn

from offline_training.utils.muon import MuonWithAdamW, is_matrix, matrix_view

RATE, DECAY, BETAS = 0.01, 0.1, (0.9, 0.98)


def network():
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 24, (2, 3))
    return nn.Sequential(conv.to(memory_format=torch.channels_last), nn.Flatten(), nn.Linear(24, 20))


def moved(model, gradients, steps=1):
    optimiser = MuonWithAdamW(model.parameters(), RATE, DECAY, BETAS)
    for _ in range(steps):
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone(memory_format=torch.contiguous_format)
        optimiser.step()
    return optimiser


def test_a_kernel_moves_along_the_orthogonal_factor_of_its_gradient():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    moved(model, [torch.randn_like(p) for p in before])
    kernel = model[0].weight
    step = matrix_view(kernel.detach()) - matrix_view(before[0]) * (1 - RATE * DECAY)
    lengths = torch.linalg.svdvals(step) / (RATE * 0.2 * (16 * 2 * 3) ** 0.5)  # of AdamW's size
    assert lengths.shape == (24,)
    assert lengths.min() > 0.5  # five iterations come as near to one as this
    assert lengths.max() < 1.5


def test_the_order_inside_a_kernel_means_nothing():
    model, other = network(), network()
    gradients = [torch.randn_like(p) for p in model.parameters()]
    moved(model, gradients)
    flat = nn.Parameter(network()[0].weight.detach().flatten(1))
    alone = MuonWithAdamW([flat, nn.Parameter(torch.zeros(2))], RATE, DECAY, BETAS)
    flat.grad = gradients[0].flatten(1)
    alone.step()
    torch.testing.assert_close(
        model[0].weight.flatten(1), flat, atol=1e-4, rtol=0
    )  # bfloat16's order of sums
    assert not torch.equal(model[0].weight, other[0].weight)


def test_the_rest_is_adamws():
    model, other = network(), network()
    gradients = [torch.randn_like(p) for p in model.parameters()]
    moved(model, gradients, steps=3)
    biases = [other[0].bias, other[2].bias]
    adamw = torch.optim.AdamW(biases, lr=RATE, betas=BETAS, weight_decay=0.0)
    for _ in range(3):
        biases[0].grad, biases[1].grad = gradients[1], gradients[3]
        adamw.step()
    assert torch.equal(model[0].bias, biases[0])
    assert torch.equal(model[2].bias, biases[1])


def test_its_state_goes_on():
    whole, half = network(), network()
    gradients = [torch.randn_like(p) for p in whole.parameters()]
    moved(whole, gradients, steps=4)
    state = moved(half, gradients, steps=2).state_dict()
    again = MuonWithAdamW(half.parameters(), RATE, DECAY, BETAS)
    again.load_state_dict(state)
    for _ in range(2):
        for parameter, gradient in zip(half.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        again.step()
    for a, b in zip(whole.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_a_rate_reaches_both_and_gradients_are_forgotten():
    model = network()
    optimiser = moved(model, [torch.ones_like(p) for p in model.parameters()])
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    optimiser.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [((32, 16), True), ((16, 4, 2, 2), True), ((64, 1, 3, 1), False), ((8, 64), False), ((64,), False)],
)
def test_which_parameters_are_matrices(shape, matrix):
    assert is_matrix(torch.zeros(shape)) is matrix


def test_a_kernel_in_another_layout_is_refused():
    with pytest.raises(ValueError, match="channels_last"):
        MuonWithAdamW([nn.Parameter(torch.zeros(16, 16, 2, 3))], RATE, DECAY, BETAS)
