"""CLAP (text, audio) and CLIP (text, image) as one space, bridged by the modality that they share.

A vector is [CLAP half, CLIP half]. Text has both. A sound has no CLIP half of its own: it takes the CLIP
vectors of the phrases that CLAP finds near it, weighted by a softmax of their similarity (and an image takes
its CLAP half in the same way), as in C-MCR's semantic memory (Wang et al., NeurIPS 2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
import torch

from offline_training.data.lexicon import read_lexicon
from offline_training.encoders.base import EncoderError, Images, Sounds, Vectors
from offline_training.encoders.hub import local_then_hub

BRIDGE_TEMPERATURE = 0.02


def pooled(output: Any) -> Vectors:
    """Unit rows of what transformers' get_*_features return (an output object since version 5, a tensor
    before).
    """
    vectors = getattr(output, "pooler_output", output)
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy(), np.float32)


class Clap:
    """CLAP alone, words and sounds: the field's text and audio scores of separations."""

    WEIGHTS = "laion/clap-htsat-unfused"
    modalities: tuple[str, ...] = ("text", "audio")
    licence = "Apache-2.0 (LAION), by its model card"

    def __init__(self, model: Any, processor: Any, name: str, device: str = "cpu") -> None:
        self.model, self.processor, self.device = model.to(device).eval(), processor, device
        self.id, self.dim = f"clap:{name}", int(model.config.projection_dim)

    @classmethod
    def from_pretrained(cls, name: str, device: str = "cpu") -> Clap:
        """Raises EncoderError when weights are missing."""
        from transformers import ClapModel, ClapProcessor

        model, processor = (local_then_hub(kind.from_pretrained, name) for kind in (ClapModel, ClapProcessor))
        return cls(model, processor, name, device)

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Vectors:
        inputs = self.processor(text=texts, return_tensors="pt", padding=True, truncation=True).to(
            self.device
        )
        return pooled(
            self.model.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
        )

    @torch.no_grad()
    def embed_audio(self, sounds: Sounds) -> Vectors:
        extractor = self.processor.feature_extractor
        rate = extractor.sampling_rate
        rows = []
        for sound in sounds:
            audio = sound if rate == 48_000 else soxr.resample(sound, 48_000, rate)
            features = extractor(audio, sampling_rate=rate, return_tensors="pt").to(self.device)
            extra = {"is_longer": features["is_longer"]} if "is_longer" in features else {}
            rows.append(
                pooled(self.model.get_audio_features(input_features=features["input_features"], **extra))
            )
        return np.concatenate(rows)

    def embed_image(self, images: Images) -> Vectors:
        raise EncoderError("CLAP only knows sounds and words")


class ClapClip:
    """Two models of transformers and their processors; ``bridge``: the phrases that both halves meet at."""

    CLAP = Clap.WEIGHTS
    CLIP = "openai/clip-vit-base-patch32"
    modalities: tuple[str, ...] = ("text", "audio", "image")
    licence = "CLAP Apache-2.0 (LAION), CLIP MIT (OpenAI), by their model cards"

    def __init__(
        self,
        clap: Any,
        clap_processor: Any,
        clip: Any,
        clip_processor: Any,
        name: str,
        device: str = "cpu",
        bridge: list[str] | None = None,
    ) -> None:
        self.clap = Clap(clap, clap_processor, name, device)
        self.clip, self.clip_processor = clip.to(device).eval(), clip_processor
        self.device = device
        self.id = f"clap+clip:{name}"
        phrases = bridge or [phrase for e in read_lexicon() for phrase in (e.label, *e.things[:3])]
        self.clap_bridge, self.clip_bridge = self.clap.embed_text(phrases), self._clip_text(phrases)
        self.dim = self.clap_bridge.shape[1] + self.clip_bridge.shape[1]

    @classmethod
    def from_pretrained(cls, clap: str, clip: str, device: str = "cpu") -> ClapClip:
        """Raises EncoderError when weights are missing."""
        from transformers import ClapModel, ClapProcessor, CLIPModel, CLIPProcessor

        return cls(
            local_then_hub(ClapModel.from_pretrained, clap),
            local_then_hub(ClapProcessor.from_pretrained, clap),
            local_then_hub(CLIPModel.from_pretrained, clip),
            local_then_hub(CLIPProcessor.from_pretrained, clip),
            f"{clap},{clip}",
            device,
        )

    @torch.no_grad()
    def _clip_text(self, texts: list[str]) -> Vectors:
        inputs = self.clip_processor(text=texts, return_tensors="pt", padding=True, truncation=True).to(
            self.device
        )
        return pooled(
            self.clip.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
        )

    @staticmethod
    def _across(own: Vectors, own_bridge: Vectors, other_bridge: Vectors) -> Vectors:
        """The half that a modality lacks, by way of the bridging phrases."""
        weights = torch.softmax(torch.from_numpy(own @ own_bridge.T) / BRIDGE_TEMPERATURE, dim=-1).numpy()
        mixed = weights @ other_bridge
        return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)

    @staticmethod
    def _join(clap: Vectors, clip: Vectors) -> Vectors:
        return np.asarray(np.concatenate([clap, clip], axis=1) / np.sqrt(2), np.float32)

    def embed_text(self, texts: list[str]) -> Vectors:
        return self._join(self.clap.embed_text(texts), self._clip_text(texts))

    def embed_audio(self, sounds: Sounds) -> Vectors:
        clap = self.clap.embed_audio(sounds)
        return self._join(clap, self._across(clap, self.clap_bridge, self.clip_bridge))

    @torch.no_grad()
    def embed_image(self, images: Images) -> Vectors:
        inputs = self.clip_processor.image_processor(images=list(images), return_tensors="pt").to(self.device)
        clip = pooled(self.clip.get_image_features(pixel_values=inputs["pixel_values"]))
        return self._join(self._across(clip, self.clip_bridge, self.clap_bridge), clip)
