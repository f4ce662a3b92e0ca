"""What a policy acts on: whole masks, or decisions on how open the deployed mask is.

Both kinds have one interface: a proposal by one run of the network, draws around its centre, the masks that
draws are heard as, and the terms of the surrogate. Everything else (rewards, advantages, steps) is the same
for both and stands in ``reinforcement``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from offline_training.data.mixtures import Batch
from offline_training.models.openness import opened
from offline_training.models.registry import Separator
from offline_training.models.separator import MaskSeparator, Spectra
from offline_training.models.streaming_state import Memory
from offline_training.reinforce import decisions, policy
from offline_training.reinforce.config import ReinforceConfig


@dataclass(frozen=True)
class Proposal:
    """What a policy makes of Q queries, fp32.

    Attributes:
        logits: Of the masks that are deployed, [Q, T, bands].
        centre: What is drawn around, [Q, ...]: the masks' P, or a decision for each block.
    """

    logits: Tensor
    centre: Tensor

    def detached(self) -> Self:
        """The same without a gradient."""
        return replace(self, **{field.name: getattr(self, field.name).detach() for field in fields(self)})


@dataclass(frozen=True)
class OpenProposal(Proposal):
    """A proposal of a network that decides on the openness.

    Attributes:
        raw: Logits before the decisions, [Q, T, bands].
        decided: The decisions for every frame, [Q, T, 2].
    """

    raw: Tensor
    decided: Tensor


class Actions(Protocol):
    """A kind of action; actions and centres are [..., Q, G or 1, ...rest] alike."""

    def propose(
        self, model: Separator, spectra: Spectra, batch: Batch, autocast: torch.dtype | None
    ) -> Proposal:
        """What a model makes of mixtures as ``spectra`` and a batch's queries, the network computed in
        ``autocast`` (None: fp32).
        """
        ...

    def sample(self, centre: Tensor) -> Tensor:
        """A draw around every centre, by torch's global generator, without a gradient."""
        ...

    def masks(self, old: Proposal, actions: Tensor) -> Tensor:
        """What the actions [Q, ...] drawn around a proposal are heard as: masks [Q, T, bands]."""
        ...

    def counted(self, audible: Tensor) -> Tensor:
        """How much every part of an action counts [Q, ...], by audible bins [Q, T, bands] (0 or 1)."""
        ...

    def log_prob(self, actions: Tensor, centre: Tensor) -> Tensor:
        """Log-density of every part of an action."""
        ...

    def entropy(self, centre: Tensor) -> Tensor:
        """Entropy of every part of an action in nats."""
        ...

    def kl(self, centre: Tensor, reference: Tensor) -> Tensor:
        """KL of the policy around ``centre`` to that around ``reference``, for every part of an action."""
        ...

    def imitated(self, actions: Tensor) -> Tensor:
        """Actions on the scale on which centres imitate them (expert iteration)."""
        ...

    def figures(self, proposal: Proposal) -> dict[str, float]:
        """What the log says of a proposal."""
        ...


class MaskActions:
    """Masks, each bin or block of them from its own Beta around P (``policy``).

    Args:
        config: The settings.
    """

    def __init__(self, config: ReinforceConfig) -> None:
        self.kappa, self.block, self.centred = config.kappa, config.block, config.centred

    def propose(
        self, model: Separator, spectra: Spectra, batch: Batch, autocast: torch.dtype | None
    ) -> Proposal:
        """See ``Actions``."""
        device = spectra.band_power.device.type
        with torch.autocast(device, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            logits = model.logits(spectra, batch["queries"], Memory(), batch["others"]).float()
        return Proposal(logits, torch.sigmoid(logits))

    def sample(self, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return policy.sample(centre, self.kappa, self.block)

    def masks(self, old: Proposal, actions: Tensor) -> Tensor:
        """The actions themselves, on the scale on which their mean is P if that is wanted."""
        return policy.centred(actions, self.kappa) if self.centred else actions

    def counted(self, audible: Tensor) -> Tensor:
        """The audible bins."""
        return audible

    def log_prob(self, actions: Tensor, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return policy.log_prob(actions, centre, self.kappa)

    def entropy(self, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return policy.entropy(centre, self.kappa)

    def kl(self, centre: Tensor, reference: Tensor) -> Tensor:
        """See ``Actions``."""
        return policy.kl(centre, reference, self.kappa)

    def imitated(self, actions: Tensor) -> Tensor:
        """On the scale on which their mean is P: imitation of plain masks would pull P to the middle."""
        return policy.centred(actions, self.kappa)

    def figures(self, proposal: Proposal) -> dict[str, float]:
        """How far P is from the middle."""
        return {"decided": (proposal.centre.detach() - 0.5).abs().mean().item()}


class OpennessActions:
    """Decisions on the sharpness and the shift of the deployed mask, a pair for each block of frames
    (``decisions``).

    The surrogate trains the head alone. A draw is an action on the logits as they are: if its gradient moved
    the network behind them, the mask would change in ways that no reward was given for.

    Args:
        config: The settings.
    """

    def __init__(self, config: ReinforceConfig) -> None:
        self.frames, self.deviations = config.decision_frames, config.decision_deviations

    def propose(
        self, model: Separator, spectra: Spectra, batch: Batch, autocast: torch.dtype | None
    ) -> Proposal:
        """See ``Actions``; the head computes in fp32 in any case."""
        assert isinstance(model, MaskSeparator)
        assert model.unet.openness is not None
        device = spectra.band_power.device.type
        with torch.autocast(device, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            raw, seen = model.raw_logits(spectra, batch["queries"], Memory(), batch["others"])
        raw, decided = raw.float(), model.unet.openness(seen.detach().float())
        return OpenProposal(opened(raw, decided), decisions.block_means(decided, self.frames), raw, decided)

    def sample(self, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return decisions.sample(centre, self.deviations)

    def masks(self, old: Proposal, actions: Tensor) -> Tensor:
        """See ``Actions``."""
        assert isinstance(old, OpenProposal)
        return torch.sigmoid(decisions.acted(old.raw, old.decided, actions - old.centre, self.frames))

    def counted(self, audible: Tensor) -> Tensor:
        """See ``Actions``."""
        return decisions.weights(audible, self.frames)

    def log_prob(self, actions: Tensor, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return decisions.log_prob(actions, centre, self.deviations)

    def entropy(self, centre: Tensor) -> Tensor:
        """See ``Actions``."""
        return decisions.entropy(centre, self.deviations)

    def kl(self, centre: Tensor, reference: Tensor) -> Tensor:
        """See ``Actions``."""
        return decisions.kl(centre, reference, self.deviations)

    def imitated(self, actions: Tensor) -> Tensor:
        """As they are: they average to the centre."""
        return actions

    def figures(self, proposal: Proposal) -> dict[str, float]:
        """How far the mask is from the middle, and the mean decisions."""
        decided = (torch.sigmoid(proposal.logits.detach()) - 0.5).abs().mean().item()
        sharpness, shift = proposal.centre.detach().flatten(0, -2).mean(0).tolist()
        return {"decided": decided, "sharpness": sharpness, "shift": shift}


def actions_of(config: ReinforceConfig) -> Actions:
    """The kind of action that a recipe asks for."""
    return OpennessActions(config) if config.act == "openness" else MaskActions(config)
