import pytest
import torch

from offline_training.models.stft import (
    SpectralConfig,
    Transform,
    unwarp_matrix,
    warp_hz,
    warp_matrix,
    window_pair,
)

CONFIGS = [SpectralConfig(), SpectralConfig(hop=240, analysis=960, synthesis=480)]


@pytest.mark.parametrize("config", CONFIGS)
def test_windows_reconstruct(config):
    analysis, synthesis = window_pair(config)
    product = analysis[-config.synthesis :] * synthesis
    torch.testing.assert_close(
        product[: config.hop] + product[config.hop :], torch.ones(config.hop, dtype=torch.float64)
    )


@pytest.fixture(params=[False, True], ids=["fft", "as exported"])
def exporting(request, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: request.param)


@pytest.mark.usefixtures("exporting")
@pytest.mark.parametrize("config", CONFIGS)
def test_transform_is_the_dft(config):
    transform = Transform(config)
    frames = torch.randn(2, 3, config.analysis, generator=torch.Generator().manual_seed(0))
    re, im = transform(frames)
    expected = torch.fft.rfft(frames.double() * transform.analysis_window.double())
    torch.testing.assert_close(torch.complex(re.double(), im.double()), expected, atol=2e-4, rtol=0)


@pytest.mark.usefixtures("exporting")
@pytest.mark.parametrize("config", CONFIGS)
def test_inverse_is_the_end_of_the_frame(config):
    transform = Transform(config)
    frames = torch.randn(4, config.analysis, generator=torch.Generator().manual_seed(1))
    back = transform.inverse(*transform(frames))
    _, synthesis = window_pair(config)
    expected = (frames * transform.analysis_window)[:, -config.synthesis :] * synthesis.float()
    torch.testing.assert_close(back, expected, atol=1e-5, rtol=0)


def test_bands_cover_every_bin_and_masks_of_ones_stay_ones():
    config = SpectralConfig()
    unwarp, warp = unwarp_matrix(config), warp_matrix(config)
    torch.testing.assert_close(unwarp.sum(0), torch.ones(config.bins, dtype=torch.float64))
    assert (unwarp >= 0).all()
    assert (warp.sum(0) - 1).abs().max() < 2e-3
    hz = warp_hz(config)
    assert hz[0] == 0
    assert hz[-1] == pytest.approx(16_000)
    assert (hz[1:] > hz[:-1]).all()
    top = int(16_000 * config.analysis / config.sample_rate) + 1
    assert (unwarp[-1, top:] == 1).all()  # held above the top band


def test_latency_and_bad_sizes():
    assert SpectralConfig().latency == 480
    with pytest.raises(ValueError, match="twice the hop"):
        SpectralConfig(synthesis=480)
