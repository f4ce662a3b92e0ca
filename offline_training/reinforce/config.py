"""Recipes of kind reinforce."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from offline_training.reinforce import policy
from offline_training.reinforce.advantage import AdvantageConfig
from offline_training.reinforce.reward import RewardConfig
from offline_training.reinforce.surrogate import SurrogateConfig
from offline_training.training.config import SuperviseRecipe
from offline_training.utils.recipe import Key, RecipeError, share


@dataclass(frozen=True)
class ReinforceConfig:
    """What is sampled, how, and how often the policy steps."""

    act: Annotated[
        Literal["mask", "openness"],
        Key(
            "What is sampled: whole masks, or decisions on how sharp and how open the deployed mask is. The "
            "surrogate of the second trains the head `openness` alone, which the network gains."
        ),
    ] = "mask"
    kappa: Annotated[float, Key("Concentration of the Beta around a proposal.", least=0)] = policy.KAPPA
    group: Annotated[int, Key("Masks for a mixture and query.", least=1)] = 6
    inner_steps: Annotated[int, Key("Gradient steps on the same masks.", least=1)] = 2
    refresh_every: Annotated[int, Key("Updates after which the old policy is replaced.", least=1)] = 1
    learn: Annotated[
        Literal["surrogate", "winner"],
        Key(
            "From masks: by the clipped surrogate, or by regression on each group's best (expert iteration)."
        ),
    ] = "surrogate"
    supervised: Annotated[float, Key("Weight of the supervised loss beside the surrogate.", least=0)] = 0.0
    ear_alone: Annotated[
        tuple[str, ...],
        Key("Labels that the reward alone teaches: nothing uses references of them.", named=True),
    ] = ()
    audible_db: Annotated[float, Key("Bins further under the mixture's loudest do not count.", least=0)] = (
        60.0
    )
    block: Annotated[tuple[int, int], Key("Frames and bands that are drawn together.", least=1)] = (1, 1)
    centred: Annotated[
        bool, Key("Masks are heard on the scale on which their mean is what is deployed; not in the paper.")
    ] = False
    decision_frames: Annotated[int, Key("Frames that a decision on the openness holds for.", least=1)] = 100
    decision_deviations: Annotated[
        tuple[float, float],
        Key("Standard deviations of the logarithm of the sharpness and of the shift of logits.", least=0.01),
    ] = (0.25, 1.0)
    baseline_decay: Annotated[float, share("Of the moving baseline that serves groups of one.")] = 0.92


@dataclass(frozen=True)
class ReinforceRecipe(SuperviseRecipe):
    """A recipe of kind reinforce: what supervision takes, and how masks are rewarded."""

    anchor: Annotated[
        Literal["mlbp", "mean"],
        Key("What outputs are compared with: a fitted pooling of recording, words and image, or their mean."),
    ] = "mlbp"
    reinforce: ReinforceConfig = field(default_factory=ReinforceConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    surrogate: SurrogateConfig = field(default_factory=SurrogateConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        if self.reinforce.ear_alone and (self.reward.level or self.reward.si_sdr):
            raise ValueError("the rewards level and si_sdr use references, which labels in ear_alone lack")
        if self.separator is None or self.reinforce.act == "mask":
            return
        if self.separator.unet.get("openness") is False:
            raise RecipeError('openness in [separator.unet] is false; act = "openness" needs it')
        self.grown(asdict(self.separator))

    def grown(self, separator: dict[str, Any]) -> dict[str, Any]:
        """With the head that decides on the openness, where it is what learns; raises RecipeError for the
        paper's network, which cannot have it.
        """
        if self.reinforce.act == "mask":
            return separator
        if separator.get("network") == "paper":
            raise RecipeError('act = "openness" needs the streaming network, not the paper\'s')
        return {**separator, "unet": {**separator["unet"], "openness": True}}

    def completed(self, stored: dict[str, Any]) -> dict[str, Any]:
        """The stored recipe with the anchor's kind: earlier versions did not say with what outputs are
        compared.
        """
        return {"anchor": self.anchor, **stored}

    def quick(self) -> Self:
        """As of supervision, with two masks for a query."""
        reinforce = replace(self.reinforce, group=min(2, self.reinforce.group))
        return replace(super().quick(), reinforce=reinforce)
