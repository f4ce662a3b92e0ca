"""Reinforced decisions on the openness: the head alone learns, and draws lie around what is deployed."""

import pytest
import torch

from offline_training.data.mixtures import MixtureDataset
from offline_training.data.training_data import TrainingData
from offline_training.models import registry
from offline_training.models.streaming_state import Memory
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Anchors, Hearing
from offline_training.training.objective import whole_hops
from offline_training.utils import checkpoint_io
from offline_training.utils.recipe import read
from runs import reinforced

UNET = {"channels": [4] * 7, "dilations": [1, 2], "components": 4, "query_hidden": 8}


def ear(sound):
    """A sound's spectrum in sixteen bands."""
    bands = torch.fft.rfft(sound.float(), 32_768).abs()[:, :16_384].reshape(len(sound), 16, -1).mean(2) ** 0.5
    return torch.nn.functional.normalize(bands, dim=1)


@pytest.fixture
def make(corpus, table, tmp_path):
    """A function that makes a run which begins with a network without the head."""
    torch.manual_seed(0)
    model = registry.build({"unet": {**UNET, "query_dim": 16}})
    start = tmp_path / "start.pt"
    content = {"separator": registry.describe(model), "weights": model.state_dict(), "encoder": "test"}
    checkpoint_io.save(start, content)

    def made(reinforce=None, **more):
        plain = {
            "bf16": False,
            "train": {"steps": 1000, "workers": 0, "warmup_steps": 1, "lr": 0.03, "weight_decay": 0.0},
            "mixtures": {"seconds": 0.5, "queries": 4},
            "validation": {"mixtures": 4, "seconds": 1.0},
            "reinforce": {"act": "openness", "group": 8, "decision_frames": 20, **(reinforce or {})},
            "surrogate": {"entropy": 0.0, "kl": 0.0},
            **more,
        }
        hearing = Hearing(ear, Anchors(table, ear, lambda parts, present: parts["audio"]))
        recipe = read(ReinforceRecipe, plain)
        return reinforced(tmp_path / "rl", TrainingData(corpus, table), recipe, hearing, start=start)

    return made


def first_batch(trainer):
    return MixtureDataset(
        trainer.data.corpus, trainer.data.table, trainer.mixtures, 100, trainer.config.seed
    )[0]


def proposed(trainer, batch):
    """Spectra of a batch's queries and the present proposal."""
    model = trainer.model.eval()
    with torch.no_grad():
        mixtures = batch["mixtures"][:, None, : whole_hops(model, batch)]
        spectra = model.spectra(mixtures, Memory()).repeat(batch["mixture_of"])
        return spectra, trainer.method.propose(model, spectra, batch)


def reward_for_a_shift_of_one(trainer, batch):
    """Let masks earn the less the further the mean of their logits is from the start's, plus one."""
    _, start = proposed(trainer, batch)

    def terms(spectra, mask, batch, anchor):
        shift = (torch.logit(mask, 1e-6) - start.logits).mean((1, 2))
        return {"cosine": -(shift - 1).abs(), "absent": torch.zeros(len(mask))}

    trainer.method.terms = terms


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"advantage": {"against": "deployed"}},
        {"advantage": {"each": True}},
        {"surrogate": {"ratio": "mean", "entropy": 0.1, "kl": 0.01, "reference_kl": 0.01}},
        {"reinforce": {"learn": "winner"}},
    ],
    ids=["group", "against the deployed mask", "each reward for itself", "mean ratio", "expert iteration"],
)
def test_the_head_finds_the_rewarded_shift_and_nothing_else_moves(make, ways):
    trainer = make(**ways)
    batch = first_batch(trainer)
    reward_for_a_shift_of_one(trainer, batch)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    first = trainer.train_step(batch)
    assert first["shift"] == pytest.approx(0.0, abs=0.3)
    for _ in range(15):
        figures = trainer.train_step(batch)
    assert figures["skipped"] == figures["non_finite"] == 0
    assert figures["reward"] > first["reward"] + 0.2
    assert proposed(trainer, batch)[1].centre[..., 1].mean().item() == pytest.approx(1.0, abs=0.3)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("unet.openness."), name


def test_masks_of_a_group_differ_and_the_centre_is_the_deployed_mask(make):
    trainer = make()
    batch = first_batch(trainer)
    torch.nn.init.normal_(trainer.model.unet.openness.linear.weight, std=0.3)
    spectra, proposal = proposed(trainer, batch)
    with torch.no_grad():
        deployed = torch.sigmoid(trainer.model.logits(spectra, batch["queries"], Memory(), batch["others"]))
    learner = trainer.method
    torch.testing.assert_close(learner.action.masks(proposal, proposal.centre), deployed)
    rollout = learner.rollout(spectra, batch, proposal)
    assert rollout.actions.shape == (4, 8, 3, 2)  # queries, group, blocks of 20 of 50 frames, decisions
    heard = torch.stack([learner.action.masks(proposal, rollout.actions[:, g]) for g in range(8)], 1)
    apart = (heard[:, :, None] - heard[:, None]).abs().mean((3, 4))
    assert (apart + torch.eye(8)).min() > 1e-3
    assert rollout.rewards.std(1).min() > 0


def test_a_supervised_term_moves_the_network_too(make):
    trainer = make({"supervised": 0.1})
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train_step(first_batch(trainer))
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert {"unet.openness.linear.weight", "unet.components.weight"} <= moved
