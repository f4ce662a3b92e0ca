"""ImageBind-huge, as the paper uses it, through the user's own installation of facebookresearch/ImageBind.

Neither its code nor its weights come with marssep: the weights are CC BY-NC-SA 4.0, which every load says.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from marssep_rt.query.image_input import views
from offline_training.encoders.base import EncoderError, Images, Sounds, Vectors
from offline_training.encoders.clap_clip import pooled

RATE, CLIP_SECONDS, CLIPS, MELS, FRAMES = 16_000, 2.0, 3, 128, 204
AUDIO_MEAN, AUDIO_STD = -4.268, 9.138
IMAGE_MEAN, IMAGE_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def sound_input(sound: np.ndarray) -> Tensor:
    """Mono at 48 kHz -> Kaldi filter banks of three evenly spaced clips of two seconds, [3, 1, 128, 204] (its
    paper).
    """
    from torchaudio.compliance.kaldi import fbank

    audio = torch.from_numpy(np.asarray(soxr.resample(sound, 48_000, RATE), np.float32))
    size = int(CLIP_SECONDS * RATE)
    audio = torch.nn.functional.pad(audio, (0, max(0, size - len(audio))))
    clips = []
    for start in np.linspace(0, len(audio) - size, CLIPS).astype(int):
        clip = audio[start : start + size]
        bands = fbank(
            (clip - clip.mean())[None],
            htk_compat=True,
            sample_frequency=RATE,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=MELS,
            dither=0.0,
            frame_length=25,
            frame_shift=10,
        ).T
        bands = torch.nn.functional.pad(bands, (0, max(0, FRAMES - bands.shape[1])))[:, :FRAMES]
        clips.append((bands - AUDIO_MEAN) / AUDIO_STD)
    return torch.stack(clips)[:, None]


class ImageBind:
    """The installed ``imagebind`` package's model; text goes through its own tokenizer."""

    modalities: tuple[str, ...] = ("text", "audio", "image")
    licence = "CC BY-NC-SA 4.0: non-commercial use only (Meta)"

    def __init__(self, model: Any, kinds: Any, tokenise: Any, device: str = "cpu") -> None:
        message = (
            "ImageBind's weights are licensed CC BY-NC-SA 4.0: not for commercial use, "
            "nor is what is trained on them"
        )
        warnings.warn(message, stacklevel=2)
        self.model, self.kinds, self.tokenise, self.device = model.to(device).eval(), kinds, tokenise, device
        self.id, self.dim = "imagebind-huge", 1024

    @classmethod
    def from_installation(cls, weights: Path | None, device: str = "cpu") -> ImageBind:
        """Raises EncoderError where the package or the weights file is missing."""
        try:
            models = importlib.import_module("imagebind.models.imagebind_model")
            data = importlib.import_module("imagebind.data")
        except ImportError as e:
            raise EncoderError(
                "ImageBind is not installed; install facebookresearch/ImageBind yourself "
                "(its weights are for non-commercial use only)"
            ) from e
        path = weights or Path(".checkpoints") / "imagebind_huge.pth"
        if not path.exists():
            raise EncoderError(
                f"there are no ImageBind weights at {path}; download imagebind_huge.pth and name it"
            )
        model = models.imagebind_huge(pretrained=False)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return cls(model, models.ModalityType, data.load_and_transform_text, device)

    @torch.no_grad()
    def _run(self, kind: str, x: Tensor) -> Vectors:
        return pooled(self.model({kind: x.to(self.device)})[kind])

    def embed_text(self, texts: list[str]) -> Vectors:
        return self._run(self.kinds.TEXT, self.tokenise(texts, self.device))

    def embed_audio(self, sounds: Sounds) -> Vectors:
        return np.concatenate([self._run(self.kinds.AUDIO, sound_input(sound)[None]) for sound in sounds])

    def embed_image(self, images: Images) -> Vectors:
        mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGE_MEAN, IMAGE_STD))
        squares = np.stack([views(rgb, 224)[0] for rgb in images])
        return self._run(self.kinds.VISION, (torch.from_numpy(squares) - mean) / std)
