"""CMA-ES: a search without gradients by a normal distribution that adapts its covariance.

After N. Hansen, "The CMA Evolution Strategy: A Tutorial" (2016), with its default constants.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class CmaEs:
    """The search distribution: ``ask`` for candidates, ``tell`` their scores; higher is better.

    Args:
        mean: Where the search begins, [K].
        sigma: The first standard deviation of every coordinate.
        candidates: Candidates of a generation, at least 4.
        rng: The source of randomness.

    Attributes:
        mean: The centre of the distribution, [K].
        sigma: The step size.
    """

    def __init__(self, mean: Floats, sigma: float, candidates: int, rng: np.random.Generator) -> None:
        self.mean, self.sigma, self.rng = np.asarray(mean, np.float64).copy(), sigma, rng
        size = len(self.mean)
        half = candidates // 2
        weights = math.log(half + 0.5) - np.log(np.arange(1, half + 1))
        self.weights: Floats = weights / weights.sum()
        effective = 1 / float(np.square(self.weights).sum())
        self.path_rate = (4 + effective / size) / (size + 4 + 2 * effective / size)
        self.sigma_rate = (effective + 2) / (size + effective + 5)
        self.rank_one = 2 / ((size + 1.3) ** 2 + effective)
        rank_mu = 2 * (effective - 2 + 1 / effective) / ((size + 2) ** 2 + effective)
        self.rank_mu = min(1 - self.rank_one, rank_mu)
        excess = max(0.0, math.sqrt((effective - 1) / (size + 1)) - 1)
        self.damping = 1 + 2 * excess + self.sigma_rate
        self.effective = effective
        self.expected = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
        self.covariance: Floats = np.eye(size)
        self.path: Floats = np.zeros(size)
        self.sigma_path: Floats = np.zeros(size)
        self.generation = 0
        self.asked: Floats = np.zeros((candidates, size))

    def ask(self) -> Floats:
        """The candidates of a generation, [candidates, K]."""
        values, axes = np.linalg.eigh(self.covariance)
        deviations = np.sqrt(np.maximum(values, 1e-12))
        normal = self.rng.standard_normal(self.asked.shape)
        self.asked = (normal * deviations) @ axes.T
        self.whiten: Floats = (axes / deviations) @ axes.T
        return self.mean + self.sigma * self.asked

    def tell(self, scores: npt.ArrayLike) -> None:
        """Move the distribution by the scores of the candidates that were last asked for, [candidates]."""
        best = self.asked[np.argsort(-np.asarray(scores, np.float64), kind="stable")[: len(self.weights)]]
        step = self.weights @ best
        self.generation += 1
        self.mean = self.mean + self.sigma * step
        rate = self.sigma_rate
        self.sigma_path = (1 - rate) * self.sigma_path + math.sqrt(
            rate * (2 - rate) * self.effective
        ) * self.whiten @ step
        length = float(np.linalg.norm(self.sigma_path))
        usual = math.sqrt(1 - (1 - rate) ** (2 * self.generation)) * self.expected
        moving = length / usual < 1.4 + 2 / (len(self.mean) + 1)  # else the step size has yet to follow
        rate = self.path_rate
        self.path = (1 - rate) * self.path + moving * math.sqrt(rate * (2 - rate) * self.effective) * step
        forgotten = 1 - self.rank_one * (1 - (not moving) * rate * (2 - rate)) - self.rank_mu
        self.covariance = (
            forgotten * self.covariance
            + self.rank_one * np.outer(self.path, self.path)
            + self.rank_mu * (best.T * self.weights) @ best
        )
        self.sigma *= math.exp(self.sigma_rate / self.damping * (length / self.expected - 1))
