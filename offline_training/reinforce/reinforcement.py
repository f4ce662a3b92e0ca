"""Reinforcement learning of the mask policy (MARS-Sep section 4): sample masks, hear what they give, make the
better ones likelier.

One update: the frozen old policy proposes P for every query of the batch; G masks are drawn around it, every
mask is turned back into sound, the sound is rewarded, and the policy takes ``inner_steps`` gradient steps on
the clipped surrogate of those masks. The old policy is replaced every ``refresh_every`` updates: with one
inner step and a refresh at every update the ratio is always one and clipping never acts. Batch norms stay as
the start has them, in both policies, so that ratios differ from one for no reason but the weights.

Everything around it (data, averaged weights, validation, checkpoints) is the ``Trainer``'s, as in
supervision.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from offline_training.data.mixtures import Batch
from offline_training.data.query_table import QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.evaluation.metrics import si_sdr
from offline_training.models.registry import Separator
from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory
from offline_training.reinforce import policy
from offline_training.reinforce.anchor import mean_anchor
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reward import SoundVectors, rewards
from offline_training.reinforce.surrogate import (
    group_advantages,
    importance_ratio,
    moving_baseline,
    objective,
)
from offline_training.training.objective import mask_losses, whole_hops
from offline_training.training.prepared_run import MAY_LACK, PreparedRun
from offline_training.training.trainer import Trainer
from offline_training.utils import checkpoint_io
from offline_training.utils.loop import Meter
from offline_training.utils.vectors import unit


class Rollout(NamedTuple):
    """Sampled masks and what they earned: Q queries, G masks each."""

    masks: Tensor  # [Q, G, T, bands]
    proposal: Tensor  # the old policy's P, [Q, 1, T, bands]
    counted: Tensor  # audible bins, [Q, 1, T, bands], 0 or 1
    rewards: Tensor  # [Q, G]
    advantages: Tensor  # [Q, G]
    figures: dict[str, float]


class Anchors:
    """z* of targets: the ear's vector of the clean target, the label's words, and the mean of the label's
    training images.
    """

    def __init__(
        self,
        table: QueryTable,
        ear: SoundVectors,
        fuse: Any = mean_anchor,
        device: torch.device | str = "cpu",
    ) -> None:
        self.ear, self.fuse = ear, fuse
        labels = list(table.phrases)
        self.words = torch.from_numpy(np.stack([table.label_vector(label) for label in labels])).to(device)
        images = [
            table.image[k].vectors[table.image[k].of("train")]
            if k in table.image
            else np.zeros((0, table.dim))
            for k in labels
        ]
        self.shown = torch.tensor([len(p) > 0 for p in images], device=device)
        means = [unit(p.mean(0)) if len(p) else np.zeros(table.dim, np.float32) for p in images]
        self.images = torch.from_numpy(np.stack(means)).float().to(device)

    @torch.no_grad()
    def __call__(self, targets: Tensor, labels: Tensor) -> Tensor:
        """Targets [Q, samples] and numbers of labels [Q] -> unit vectors [Q, D]."""
        parts = {"audio": self.ear(targets), "text": self.words[labels], "image": self.images[labels]}
        there = torch.ones_like(labels, dtype=torch.bool)
        return self.fuse(parts, {"audio": there, "text": there, "image": self.shown[labels]})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Hearing:
    """What listens: the encoder that rewards, what it compares with, and the held-out judge."""

    ear: SoundVectors
    anchors: Anchors
    judge: SoundVectors | None = None


class Reinforcement:
    """How a reinforcement run learns; ``last.pt`` also keeps the old policy and the baseline.

    Args:
        recipe: The settings.
        hearing: What listens.
    """

    frozen_norms = True  # in both policies: ratios differ from one for no reason but the weights

    def __init__(self, recipe: ReinforceRecipe, hearing: Hearing) -> None:
        self.recipe, self.rl = recipe, recipe.reinforce
        self.ear, self.anchors, self.judge = hearing.ear, hearing.anchors, hearing.judge
        self.baseline: float | None = None
        self.reference: Separator | None = None

    def begin(self, trainer: Trainer, prepared: PreparedRun) -> None:
        """Take over a trainer: its weights are the old policy, unless the run has one already."""
        self.run = trainer
        self.old = frozen(trainer.model)
        if prepared.last is not None:
            self.baseline = prepared.last["baseline"]
            checkpoint_io.load_weights(self.old, prepared.last["old"])
        if self.recipe.surrogate.reference_kl:
            self.reference = frozen(trainer.average)
            if prepared.begun is not None:  # a resumed run's own weights have moved on
                checkpoint_io.load_weights(self.reference, prepared.begun["weights"], may_lack=MAY_LACK)

    def content(self) -> dict[str, Any]:
        """The old policy and the baseline."""
        return {"old": self.old.state_dict(), "baseline": self.baseline}

    def logits(self, model: Separator, spectra: Spectra, queries: Tensor) -> Tensor:
        """Logits of every query's P, fp32 [Q, T, bands]."""
        device, dtype = self.run.device.type, self.run.autocast
        with torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return model.logits(spectra, queries, Memory()).float()

    @torch.no_grad()
    def rollout(self, spectra: Spectra, batch: Batch, proposal: Tensor) -> Rollout:
        """Draw G masks for every query around the old policy's P [Q, T, bands], make sound of them, reward
        it.
        """
        config, rows = self.rl, batch["mixture_of"]
        count, group = len(rows), config.group
        masks = self.draw(proposal, group)
        latency, hop = self.run.model.latency, self.run.model.config.spectral.hop
        n = batch["targets"].shape[1] // hop * hop - latency
        targets, mixture = batch["targets"][:, :n], batch["mixtures"][rows, :n]
        anchor = self.anchors(targets, batch["labels"])
        heard = policy.centred(masks, config.kappa) if config.centred else masks
        earned, said = [], []
        for g in range(group):  # one mask a query at a time: G times the memory would buy nothing
            estimate = self.run.model.apply_mask(spectra, heard[:, g], Memory())[:, 0, latency:]
            reward, terms = rewards(
                self.ear, estimate, targets, mixture, anchor, batch["absent"], self.recipe.reward
            )
            earned.append(reward)
            said.append(terms)
        reward = torch.stack(earned, 1)
        # where every mask stands alone the batch is the group, and that is everybody's batch
        gather, rank = self.run.processes.gather, self.run.processes.rank
        whole = gather(reward)
        advantages = group_advantages(whole, self.baseline)
        mine = advantages.values[rank * count : (rank + 1) * count]
        self.baseline = moving_baseline(self.baseline, whole, config.baseline_decay)
        present = gather(~batch["absent"])
        figures = {
            name: gather(torch.stack([t[name] for t in said], 1))[present].mean().item()
            for name in said[0]
            if name != "absent"
        }
        figures["reward"] = whole[torch.isfinite(whole)].mean().item()
        figures["reward_spread"] = whole.std(1, unbiased=False).nan_to_num().mean().item()
        figures |= {"flat_groups": float(advantages.flat_groups), "non_finite": float(advantages.non_finite)}
        power = spectra.band_power
        loudest = power.amax((1, 2), keepdim=True)
        counted = (power > loudest * 10 ** (-config.audible_db / 10)).float()
        assert masks.shape[:2] == (count, group)
        return Rollout(masks, proposal[:, None], counted[:, None], reward, mine, figures)

    def draw(self, proposal: Tensor, group: int) -> Tensor:
        """G masks for each proposal [Q, T, bands], every shard of the batch by a seed of its own: [Q, G, T,
        bands].
        """
        masks, shards = [], self.run.own_shards
        seed, step = self.run.config.seed, self.run.step
        for k, part in zip(shards, proposal.chunk(len(shards)), strict=True):
            torch.manual_seed(int(np.random.default_rng((seed, step, k)).integers(2**31)))
            masks.append(policy.sample(part[:, None].expand(-1, group, -1, -1), self.rl.kappa, self.rl.block))
        return torch.cat(masks)

    def surrogate(self, proposal: Tensor, rollout: Rollout, reference: Tensor | None) -> dict[str, Tensor]:
        """The objective's terms for the present policy's P [Q, T, bands]."""
        config, kappa = self.recipe.surrogate, self.rl.kappa
        p = proposal[:, None]
        group = rollout.masks.shape[1]
        log_new, log_old = (
            policy.log_prob(rollout.masks, x, kappa).flatten(0, 1) for x in (p, rollout.proposal)
        )
        counted = rollout.counted.expand(-1, group, -1, -1).flatten(0, 1)
        ratio = importance_ratio(log_new, log_old, config.ratio, counted)
        entropy, kl = policy.entropy(p[:, 0], kappa), policy.kl(p[:, 0], rollout.proposal[:, 0], kappa)
        far = policy.kl(p[:, 0], reference, kappa) if reference is not None else None
        return objective(
            ratio, rollout.advantages.flatten(), entropy, kl, config, counted, far, rollout.counted[:, 0]
        )

    def update(self, batch: Batch) -> dict[str, float]:
        """One rollout and ``inner_steps`` updates on it; a non-finite gradient is skipped and counted as
        ``skipped``.
        """
        self.run.model.eval()  # batch norms keep the statistics of the start
        with torch.no_grad():
            mixtures = batch["mixtures"][:, None, : whole_hops(self.run.model, batch)]
            spectra = self.run.model.spectra(mixtures, Memory()).repeat(batch["mixture_of"])
            reference = None
            if self.reference is not None:
                reference = torch.sigmoid(self.logits(self.reference, spectra, batch["queries"]))
        logits = self.logits(self.run.model, spectra, batch["queries"])
        old = logits.detach()
        if self.run.step % self.rl.refresh_every:  # else the two are the same
            with torch.no_grad():
                old = self.logits(self.old, spectra, batch["queries"])
        rollout = self.rollout(spectra, batch, torch.sigmoid(old))
        meter = Meter()
        skipped = 0
        for inner in range(self.rl.inner_steps):
            if inner:
                logits = self.logits(self.run.model, spectra, batch["queries"])
            figures, finite = self.inner_step(spectra, logits, rollout, reference, batch)
            skipped += not finite
            meter.add(figures)
        self.run.stepped()
        if self.run.step % self.rl.refresh_every == 0:
            self.old.load_state_dict(self.run.model.state_dict())
        heard = self.heard(spectra, batch, rollout.proposal[:, 0])
        return {**meter.means, **rollout.figures, **heard, "skipped": float(skipped)}

    def inner_step(
        self, spectra: Spectra, logits: Tensor, rollout: Rollout, reference: Tensor | None, batch: Batch
    ) -> tuple[dict[str, float], bool]:
        """One step of the optimiser on the masks of a rollout; its figures, and whether its gradient was
        finite.
        """
        proposal = torch.sigmoid(logits)
        terms = self.surrogate(proposal, rollout, reference)
        if self.rl.supervised:
            losses = mask_losses(
                self.run.model, spectra, logits, batch, self.run.config, self.run.config.bce_steps
            )
            terms["supervised"] = losses["loss"]
            terms["loss"] = terms["loss"] + self.rl.supervised * terms["supervised"]
        norm, finite = self.run.descend(terms["loss"], batch)
        decided = (proposal.detach() - 0.5).abs().mean().item()
        return {**{k: v.item() for k, v in terms.items()}, "norm": norm, "decided": decided}, finite

    @torch.no_grad()
    def heard(self, spectra: Spectra, batch: Batch, proposal: Tensor) -> dict[str, float]:
        """What the old policy's own mask gives: SI-SDR in dB and, where there is one, what the judge makes of
        it.
        """
        gather = self.run.processes.gather
        present = gather(~batch["absent"])
        if not present.any():
            return {}
        model = self.run.model
        estimate = model.apply_mask(spectra, proposal, Memory())[:, 0, model.latency :]
        targets = batch["targets"][:, : estimate.shape[1]]
        figures = {"si_sdr_db": gather(si_sdr(estimate, targets))[present].mean().item()}
        if self.judge is not None:
            words = self.anchors.words[batch["labels"]]
            figures["judge"] = gather((self.judge(estimate) * words).sum(-1))[present].mean().item()
        return figures


def frozen(model: Separator) -> Separator:
    """A copy that no optimiser moves, in eval mode."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def reinforced_trainer(prepared: PreparedRun, data: TrainingData, hearing: Hearing) -> Trainer:
    """A reinforcement run that is rewarded by ``hearing``; the other arguments, and errors, are those of
    ``Trainer``.
    """
    assert isinstance(prepared.recipe, ReinforceRecipe)
    return Trainer(prepared, data, Reinforcement(prepared.recipe, hearing))
