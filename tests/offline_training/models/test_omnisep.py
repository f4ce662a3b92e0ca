"""The paper's network: its size, its warp, its interface, one step of its training."""

import numpy as np
import pytest
import torch

from export.bundle import About, QuerySources, make_bundle
from offline_training.models import registry
from offline_training.models.inference import separate
from offline_training.models.omnisep import (
    PaperConfig,
    PaperSeparator,
    PaperSpectral,
    PaperUNet,
    unwarped_positions,
    warped_positions,
)
from offline_training.models.streaming_state import Memory
from offline_training.training.config import SuperviseRecipe
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import read
from runs import supervised

SMALL = {"network": "paper", "unet": {"channels": [4, 6, 8, 8, 8, 8, 8], "components": 4}}


def test_thirty_million_parameters():
    assert sum(p.numel() for p in PaperUNet(PaperConfig()).parameters()) == 30_307_043


def test_the_warp_is_the_paper_s():
    hz = warped_positions(PaperSpectral()) * 16_000 / 1024
    # row t of 256 as the paper's grid has it: t = row / 255
    np.testing.assert_allclose(hz[[0, 64, 128, 192, 255]], [0, 459, 1444, 3559, 8000], atol=1)
    back = unwarped_positions(PaperSpectral())
    np.testing.assert_allclose(
        np.interp(back, np.arange(256), warped_positions(PaperSpectral())), np.arange(513), atol=0.06
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return registry.build({**SMALL, "unet": {**SMALL["unet"], "query_dim": 16}}).eval()


def test_a_mask_of_ones_gives_back_what_lies_under_eight_kilohertz(model):
    t = torch.arange(96 * 768) / 48_000
    sound = (0.3 * torch.sin(2 * np.pi * 440 * t) + 0.1 * torch.sin(2 * np.pi * 5000 * t)).expand(1, 2, -1)
    spectra = model.spectra(sound, Memory())
    assert spectra.band_power.shape == (1, 97, 256)
    out = model.apply_mask(spectra, torch.ones(1, 97, 256), Memory())
    assert out.shape == sound.shape
    assert (out - sound)[..., 2000:-2000].abs().max() < 2e-3


def test_any_length_and_a_clip_of_the_paper_s_length(model):
    for hops in (1, 40, 255):
        assert model(torch.randn(2, 1, hops * 768), torch.eye(16)[:2], Memory()).shape == (2, 1, hops * 768)
    assert model.spectra(torch.randn(1, 1, 255 * 768), Memory()).re.shape == (1, 1, 256, 513)


def test_the_query_only_weighs_components(model):
    x = torch.randn(1, 1, 128, 256)
    flat = torch.zeros(1, 16)
    with torch.no_grad():
        model.unet.query.weight.normal_()
        one, other = model.unet(x.transpose(2, 3), flat), model.unet(x.transpose(2, 3), flat + 1)
    assert not torch.allclose(one, other)


def test_it_trains_is_stored_and_is_not_exported(corpus, table, tmp_path):
    recipe = {
        "bf16": False,
        "separator": SMALL,
        "train": {"workers": 0, "validate_every": 3, "warmup_steps": 1, "decay_steps": 1, "steps": 3},
        "mixtures": {"seconds": 0.5, "queries": 3},
        "validation": {"mixtures": 8, "seconds": 1.0},
    }
    trainer = supervised(tmp_path, corpus, table, read(SuperviseRecipe, recipe))
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.run()
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    again, content = registry.load_separator(tmp_path / "best.pt")
    assert isinstance(again, PaperSeparator)
    assert content["separator"]["network"] == "paper"
    mixture, query = torch.randn(1, 24_000), torch.nn.functional.normalize(torch.randn(1, 16))
    torch.testing.assert_close(
        separate(again, mixture, query, None),
        separate(trainer.average.eval(), mixture, query, None),
        atol=2e-3,
        rtol=0.1,
    )
    with pytest.raises(CheckpointError, match="sees whole clips"):
        make_bundle(tmp_path / "best.pt", tmp_path / "out", QuerySources(), About("x"))
    with pytest.raises(ValueError, match="one of streaming, paper"):
        registry.build({"network": "wave"})
