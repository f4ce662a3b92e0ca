"""Reinforcement learning of the mask policy (MARS-Sep section 4): sample masks, hear what they give, make the
better ones likelier.

What is sampled are masks, or decisions on how open a mask is (``actions``). One update: the frozen old policy
makes a proposal for every query of the batch; G actions are drawn around it, the mask of every action is
turned back into sound, the sound is rewarded, and the policy takes ``inner_steps`` gradient steps on
the clipped surrogate of those actions. The old policy is replaced every ``refresh_every`` updates: with one
inner step and a refresh at every update the ratio is always one and clipping never acts. Batch norms stay as
the start has them, in both policies, so that ratios differ from one for no reason but the weights.

Everything around it (data, averaged weights, validation, checkpoints) is the ``Trainer``'s, as in
supervision.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from offline_training.data.mixtures import Batch, rows_of
from offline_training.data.query_table import QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.evaluation.metrics import si_sdr
from offline_training.models.registry import Separator
from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory
from offline_training.reinforce.actions import Proposal, actions_of
from offline_training.reinforce.advantage import (
    Advantages,
    advantages_of_terms,
    group_advantages,
    moving_baseline,
)
from offline_training.reinforce.anchor import mean_anchor
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reward import SoundVectors, terms_of, total, weights_of
from offline_training.reinforce.surrogate import importance_ratio, objective
from offline_training.reinforce.winners import Winners, imitation, winners
from offline_training.training.objective import mask_losses, whole_hops
from offline_training.training.prepared_run import MAY_LACK, PreparedRun
from offline_training.training.trainer import Trainer
from offline_training.utils import checkpoint_io
from offline_training.utils.loop import Meter
from offline_training.utils.vectors import unit


class Rollout(NamedTuple):
    """Sampled actions and what their masks earned: Q queries, G actions each."""

    actions: Tensor  # [Q, G, ...]
    proposal: Proposal  # of the old policy
    counted: Tensor  # how much every part of an action counts, [Q, 1, ...]
    rewards: Tensor  # [Q, G]
    advantages: Tensor  # [Q, G]
    figures: dict[str, float]
    winners: Winners | None = None  # for expert iteration


class Anchors:
    """z* of targets: the ear's vector of the clean target, the label's words, and the mean of the label's
    training images; of labels in ``ear_alone`` the words and images alone.
    """

    def __init__(
        self,
        table: QueryTable,
        ear: SoundVectors,
        fuse: Any = mean_anchor,
        device: torch.device | str = "cpu",
        ear_alone: Collection[str] = (),
    ) -> None:
        self.ear, self.fuse = ear, fuse
        labels = list(table.phrases)
        self.alone = torch.tensor([label in ear_alone for label in labels], device=device)
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
        present = {"audio": ~self.alone[labels], "text": there, "image": self.shown[labels]}
        return self.fuse(parts, present)  # type: ignore[no-any-return]


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
        self.action = actions_of(self.rl)
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

    def propose(self, model: Separator, spectra: Spectra, batch: Batch) -> Proposal:
        """What a model makes of every query."""
        return self.action.propose(model, spectra, batch, self.run.autocast)

    @torch.no_grad()
    def rollout(self, spectra: Spectra, batch: Batch, proposal: Proposal) -> Rollout:
        """Draw G actions for every query around the old policy's proposal, make sound of them, reward it."""
        config, count = self.rl, len(batch["mixture_of"])
        actions = self.draw(proposal.centre, config.group)
        anchor = self.anchors(self.targets(batch), batch["labels"])
        # one mask a query at a time: G times the memory would buy nothing
        said = [
            self.terms(spectra, self.action.masks(proposal, actions[:, g]), batch, anchor)
            for g in range(config.group)
        ]
        terms = {name: torch.stack([one[name] for one in said], 1) for name in said[0]}
        deployed = {}
        if self.needs_deployed:
            deployed = self.terms(spectra, torch.sigmoid(proposal.logits), batch, anchor)
        # where every mask stands alone the batch is the group, and that is everybody's batch
        gather, rank = self.run.processes.gather, self.run.processes.rank
        whole = {name: gather(value) for name, value in terms.items()}
        reward = total(whole, self.recipe.reward)
        advantages = self.advantages(whole, reward, {name: gather(value) for name, value in deployed.items()})
        mine = slice(rank * count, (rank + 1) * count)
        self.baseline = moving_baseline(self.baseline, reward, config.baseline_decay)
        best = None
        if config.learn == "winner":
            best = winners(self.action.imitated(actions), reward[mine], total(deployed, self.recipe.reward))
        counted = self.action.counted(self.audible(spectra))[:, None]
        figures = self.reward_figures(whole, reward, gather(~batch["absent"]), advantages)
        return Rollout(actions, proposal, counted, reward[mine], advantages.values[mine], figures, best)

    @property
    def needs_deployed(self) -> bool:
        """Whether the deployed masks are rewarded, too."""
        return self.recipe.advantage.against == "deployed" or self.rl.learn == "winner"

    def targets(self, batch: Batch) -> Tensor:
        """The targets [Q, samples] as long as outputs are."""
        model = self.run.model
        return batch["targets"][:, : whole_hops(model, batch) - model.latency]

    def output(self, spectra: Spectra, mask: Tensor) -> Tensor:
        """What masks [Q, T, bands] let through, in time with the targets: [Q, samples]."""
        model = self.run.model
        return model.apply_mask(spectra, mask, Memory())[:, 0, model.latency :]

    def terms(self, spectra: Spectra, mask: Tensor, batch: Batch, anchor: Tensor) -> dict[str, Tensor]:
        """What masks [Q, T, bands] earn, term by term [Q]."""
        estimate, targets = self.output(spectra, mask), self.targets(batch)
        mixture = batch["mixtures"][batch["mixture_of"], : targets.shape[1]]
        return terms_of(self.ear, estimate, targets, mixture, anchor, batch["absent"], self.recipe.reward)

    def advantages(self, terms: dict[str, Tensor], reward: Tensor, deployed: dict[str, Tensor]) -> Advantages:
        """Advantages of all masks of the batch, of the reward or of each of its terms."""
        config = self.recipe.advantage
        if config.each and reward.shape[1] > 1:
            return advantages_of_terms(terms, weights_of(self.recipe.reward, terms), config, deployed)
        earned = total(deployed, self.recipe.reward) if deployed else None
        return group_advantages(reward, self.baseline, config, earned)

    def reward_figures(
        self, terms: dict[str, Tensor], reward: Tensor, present: Tensor, advantages: Advantages
    ) -> dict[str, float]:
        """What the log says of a rollout's rewards."""
        figures = {name: terms[name][present].mean().item() for name in terms if name != "absent"}
        figures["reward"] = reward[torch.isfinite(reward)].mean().item()
        figures["reward_spread"] = reward.std(1, unbiased=False).nan_to_num().mean().item()
        return figures | {
            "flat_groups": float(advantages.flat_groups),
            "non_finite": float(advantages.non_finite),
        }

    def audible(self, spectra: Spectra) -> Tensor:
        """1 where a bin is loud enough to count, else 0: [Q, T, bands]."""
        power = spectra.band_power
        loudest = power.amax((1, 2), keepdim=True)
        return (power > loudest * 10 ** (-self.rl.audible_db / 10)).float()

    def draw(self, centre: Tensor, group: int) -> Tensor:
        """G actions around each centre [Q, ...], every shard of the batch by a seed of its own: [Q, G,
        ...].
        """
        actions, shards = [], self.run.own_shards
        seed, step = self.run.config.seed, self.run.step
        for k, part in zip(shards, centre.chunk(len(shards)), strict=True):
            torch.manual_seed(int(np.random.default_rng((seed, step, k)).integers(2**31)))
            actions.append(self.action.sample(part[:, None].expand(-1, group, -1, -1)))
        return torch.cat(actions)

    def surrogate(self, centre: Tensor, rollout: Rollout, reference: Tensor | None) -> dict[str, Tensor]:
        """The objective's terms for the present policy and the reference, by their centres [Q, ...]."""
        config, old = self.recipe.surrogate, rollout.proposal.centre
        group = rollout.actions.shape[1]
        log_new, log_old = (
            self.action.log_prob(rollout.actions, x[:, None]).flatten(0, 1) for x in (centre, old)
        )
        counted = rollout.counted.expand(-1, group, -1, -1).flatten(0, 1)
        ratio = importance_ratio(log_new, log_old, config.ratio, counted)
        entropy, kl = self.action.entropy(centre), self.action.kl(centre, old)
        far = self.action.kl(centre, reference) if reference is not None else None
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
                reference = self.propose(self.reference, spectra, batch).centre
        proposal = self.propose(self.run.model, spectra, batch)
        old = proposal.detached()
        if self.run.step % self.rl.refresh_every:  # else the two are the same
            with torch.no_grad():
                old = self.propose(self.old, spectra, batch)
        rollout = self.rollout(spectra, batch, old)
        meter = Meter()
        skipped = 0
        for inner in range(self.rl.inner_steps):
            if inner:
                proposal = self.propose(self.run.model, spectra, batch)
            figures, finite = self.inner_step(spectra, proposal, rollout, reference, batch)
            skipped += not finite
            meter.add(figures)
        self.run.stepped()
        if self.run.step % self.rl.refresh_every == 0:
            self.old.load_state_dict(self.run.model.state_dict())
        heard = self.heard(spectra, batch, torch.sigmoid(old.logits))
        return {**meter.means, **rollout.figures, **heard, "skipped": float(skipped)}

    def inner_step(
        self, spectra: Spectra, proposal: Proposal, rollout: Rollout, reference: Tensor | None, batch: Batch
    ) -> tuple[dict[str, float], bool]:
        """One step of the optimiser on the actions of a rollout; its figures, and whether its gradient was
        finite.
        """
        terms = self.surrogate(proposal.centre, rollout, reference)
        if rollout.winners is not None:
            terms["imitation"] = imitation(proposal.centre, rollout.winners, rollout.counted[:, 0])
            terms["loss"] = terms["imitation"]
        if self.rl.supervised and len(taught := (~self.anchors.alone[batch["labels"]]).nonzero()[:, 0]):
            some, settings = rows_of(batch, taught), self.run.config
            losses = mask_losses(
                self.run.model,
                spectra.repeat(taught),
                proposal.logits[taught],
                some,
                settings,
                settings.bce_steps,
            )
            terms["supervised"] = losses["loss"]
            terms["loss"] = terms["loss"] + self.rl.supervised * terms["supervised"]
        norm, finite = self.run.descend(terms["loss"], batch)
        figures = {k: v.item() for k, v in terms.items()} | self.action.figures(proposal)
        return {**figures, "norm": norm}, finite

    @torch.no_grad()
    def heard(self, spectra: Spectra, batch: Batch, mask: Tensor) -> dict[str, float]:
        """What the old policy's own mask [Q, T, bands] gives: SI-SDR in dB and, where there is one, what the
        judge makes of it.
        """
        gather = self.run.processes.gather
        present = gather(~batch["absent"])
        if not present.any():
            return {}
        estimate = self.output(spectra, mask)
        figures = {"si_sdr_db": gather(si_sdr(estimate, self.targets(batch)))[present].mean().item()}
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
