"""The encoder adapters on tiny random models built offline, and what happens when weights are missing."""

import sys
import types

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from offline_training.encoders import EncoderError, open_encoder
from offline_training.encoders.clap_clip import ClapClip
from offline_training.encoders.imagebind import ImageBind, sound_input
from offline_training.encoders.pe_av import PeAv

RNG = np.random.default_rng(0)
SOUNDS = [
    RNG.standard_normal(48_000).astype(np.float32) * 0.1,
    RNG.standard_normal(70_001).astype(np.float32) * 0.1,
]
IMAGES = [RNG.integers(0, 255, (60, 80, 3), np.uint8), RNG.integers(0, 255, (90, 40, 3), np.uint8)]


def tokenizer(words="dog barking rain siren a of", **special):
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", "<bos>", "<eos>", *words.split()])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        model_max_length=16,
    )


def hold_the_interface(encoder, texts=("dog barking", "rain")):
    """Unit vectors of the promised size, different for different things, the same for the same."""
    assert set(encoder.modalities) == {"text", "audio", "image"}
    assert encoder.licence
    assert encoder.id
    for found, again in (
        (encoder.embed_text(list(texts)), encoder.embed_text(list(texts))),
        (encoder.embed_audio(SOUNDS), encoder.embed_audio(SOUNDS)),
        (encoder.embed_image(IMAGES), encoder.embed_image(IMAGES)),
    ):
        assert found.shape == (2, encoder.dim)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
        np.testing.assert_allclose(found, again, atol=1e-5)
        assert not np.allclose(found[0], found[1], atol=1e-5)


TRANSFORMER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**TRANSFORMER, "vocab_size": 40}
CLIP_TEXT = {
    **TEXT,
    "projection_dim": 20,
    "max_position_embeddings": 16,
    "eos_token_id": 3,
    "bos_token_id": 2,
}
VISION = {**TRANSFORMER, "image_size": 32, "patch_size": 8}
CLAP_AUDIO = {
    "depths": [1, 1],
    "num_attention_heads": [1, 1],
    "hidden_size": 32,
    "patch_embeds_hidden_size": 16,
    "num_hidden_layers": 2,
    "spec_size": 64,
    "num_mel_bins": 16,
    "window_size": 4,
    "patch_size": 4,
    "patch_stride": [4, 4],
}


@pytest.fixture(scope="module")
def clap_clip():
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, CLIPConfig, CLIPModel

    torch.manual_seed(0)
    clap = ClapModel(ClapConfig(text_config=TEXT, audio_config=CLAP_AUDIO, projection_dim=24))
    extractor = ClapFeatureExtractor(
        feature_size=16, max_length_s=2, truncation="rand_trunc", padding="repeatpad"
    )
    clip = CLIPModel(CLIPConfig(text_config=CLIP_TEXT, vision_config=VISION, projection_dim=20))
    image = pytest.importorskip("transformers").CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    tokens = tokenizer()

    class Both:
        image_processor = image

        def __call__(self, **inputs):
            return tokens(inputs.pop("text"), **inputs)

    processor, bridge = ClapProcessor(extractor, tokens), ["dog barking", "rain", "siren"]
    return ClapClip(clap, processor, clip, Both(), "tiny,tiny", bridge=bridge)


def test_clap_and_clip_as_one_space(clap_clip):
    assert clap_clip.dim == 44
    hold_the_interface(clap_clip)


def test_a_sound_takes_its_clip_half_from_the_phrases_that_clap_finds_near(clap_clip):
    across = clap_clip._across(clap_clip.clap_bridge, clap_clip.clap_bridge, clap_clip.clip_bridge)
    own = (across * clap_clip.clip_bridge).sum(1)
    assert np.all(own >= (across @ clap_clip.clip_bridge.T).max(1) - 0.1)


def test_pe_av():
    pytest.importorskip("timm", reason="PE-AV's vision part is a timm model")
    from transformers import PeAudioVideoConfig, PeAudioVideoModel

    torch.manual_seed(0)
    small = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 16,
    }
    text = {
        "model_type": "modernbert",
        **{k: v for k, v in small.items() if k != "head_dim"},
        "vocab_size": 40,
        "pad_token_id": 0,
        "global_attn_every_n_layers": 1,
    }
    dac = {
        "encoder_hidden_size": 4,
        "codebook_dim": 8,
        "hidden_size": 64,
        "downsampling_ratios": [2, 8, 10, 12],
    }
    vision = {
        "architecture": "vit_pe_core_tiny_patch16_384",
        "model_args": {"img_size": 64, "depth": 1},
        "num_classes": 16,
        "do_pooling": True,
    }
    config = PeAudioVideoConfig(
        text_config=text,
        audio_video_config={
            **small,
            "audio_config": {"model_type": "pe_audio_encoder", **small, "dac_config": dac},
            "video_config": {"model_type": "pe_video_encoder", **small, "vision_config": vision},
        },
    )
    hold_the_interface(PeAv(PeAudioVideoModel(config), tokenizer(), "tiny"))


class Stand(torch.nn.Module):
    """Stands in for ImageBind's model: the same call, other weights."""

    def __init__(self):
        super().__init__()
        self.maps = torch.nn.ModuleDict(
            {
                "text": torch.nn.Embedding(300, 1024),
                "audio": torch.nn.Linear(128 * 204, 1024),
                "vision": torch.nn.Linear(3 * 224 * 224, 1024),
            }
        )

    def forward(self, inputs):
        ((kind, x),) = inputs.items()
        if kind == "text":
            return {kind: self.maps[kind](x).mean(1) * 14}
        if kind == "audio":
            return {kind: self.maps[kind](x.flatten(2)).mean(1) * 20}
        return {kind: self.maps[kind](x.flatten(1))}


KINDS = types.SimpleNamespace(TEXT="text", AUDIO="audio", VISION="vision")


def test_imagebind_says_its_licence_and_holds_the_interface():
    torch.manual_seed(0)

    def tokenise(texts, _device):
        return torch.tensor([[*t.encode(), *[0] * 20][:20] for t in texts])

    with pytest.warns(UserWarning, match="not for commercial use"):
        encoder = ImageBind(Stand(), KINDS, tokenise)
    hold_the_interface(encoder)
    assert sound_input(SOUNDS[0]).shape == (3, 1, 128, 204)


def test_imagebind_from_an_installation(tmp_path, monkeypatch):
    with pytest.raises(EncoderError, match="not installed"):
        open_encoder("imagebind")
    models_module = types.SimpleNamespace(imagebind_huge=lambda pretrained: Stand(), ModalityType=KINDS)
    monkeypatch.setitem(sys.modules, "imagebind", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "imagebind.models", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "imagebind.models.imagebind_model", models_module)
    monkeypatch.setitem(sys.modules, "imagebind.data", types.SimpleNamespace(load_and_transform_text=None))
    with pytest.raises(EncoderError, match=r"no ImageBind weights at .*huge\.pth"):
        open_encoder("imagebind", str(tmp_path / "huge.pth"))
    torch.save(Stand().state_dict(), tmp_path / "huge.pth")
    with pytest.warns(UserWarning, match="CC BY-NC-SA"):
        assert open_encoder("imagebind", str(tmp_path / "huge.pth")).dim == 1024


@pytest.mark.parametrize("name", ["clap+clip", "pe-av"])
def test_missing_weights_are_one_clear_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match=r"neither on this machine nor .*hf download"):
        open_encoder(name, f"{tmp_path}/none,{tmp_path}/none" if name == "clap+clip" else f"{tmp_path}/none")


def test_unknown_encoder():
    with pytest.raises(EncoderError, match="choose one of builtin"):
        open_encoder("openl3")
