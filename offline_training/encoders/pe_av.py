"""PE-AV (Perception Encoder Audio-Video, Apache-2.0): sound, video frames and text in one space.

Its parts are called one by one: the model's own ``get_*_embeds`` shortcuts for text and video are broken in
transformers 5.23.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from marssep_rt.query.image_input import views
from offline_training.encoders.base import Images, Sounds, Vectors
from offline_training.encoders.clap_clip import pooled
from offline_training.encoders.hub import local_then_hub


class PeAv:
    """A ``PeAudioVideoModel`` and its tokenizer. An image is a video of one frame; text is between its audio
    and its video vector.
    """

    WEIGHTS = "facebook/pe-av-large"
    modalities: tuple[str, ...] = ("text", "audio", "image")
    licence = "Apache-2.0 (Meta), by its model card"

    def __init__(self, model: Any, tokenizer: Any, name: str, device: str = "cpu") -> None:
        self.model, self.tokenizer, self.device = model.to(device).eval(), tokenizer, device
        self.id = f"pe-av:{name}"
        self.dim = int(model.config.text_config.hidden_size)
        video = model.config.audio_video_config.video_config
        arguments = getattr(video.vision_config, "model_args", None) or {}
        self.image_size = int(arguments.get("img_size", 336))

    @classmethod
    def from_pretrained(cls, name: str, device: str = "cpu") -> PeAv:
        """Raises EncoderError when weights are missing."""
        from transformers import AutoTokenizer, PeAudioVideoModel

        model = local_then_hub(PeAudioVideoModel.from_pretrained, name)
        return cls(model, local_then_hub(AutoTokenizer.from_pretrained, name), name, device)

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Vectors:
        tokens = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True).to(self.device)
        hidden = self.model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], output_hidden_states=True
        ).hidden_states[-1][:, 0]
        both = pooled(self.model.audio_model.text_audio_head(hidden)) + pooled(
            self.model.video_model.text_video_head(hidden)
        )
        return pooled(torch.from_numpy(both))

    @torch.no_grad()
    def embed_audio(self, sounds: Sounds) -> Vectors:
        step = 1920  # its codec's hop at 48 kHz
        rows = []
        for sound in sounds:
            audio = np.pad(sound, (0, -len(sound) % step or (step if not len(sound) else 0)))
            x = torch.from_numpy(audio)[None, None].to(self.device)
            rows.append(pooled(self.model.audio_model.get_audio_embeds(x)))
        return np.concatenate(rows)

    @torch.no_grad()
    def embed_image(self, images: Images) -> Vectors:
        squares = np.stack([views(rgb, self.image_size)[2] for rgb in images])  # the whole image, squeezed
        frames = ((torch.from_numpy(squares) - 0.5) / 0.5)[:, None].to(self.device)
        encoded = self.model.video_model.video_encoder(pixel_values_videos=frames, return_dict=True)
        return pooled(self.model.video_model.video_head(encoded.pooler_output))
