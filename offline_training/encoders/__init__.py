"""Encoders by name: one small interface over the builtin encoders and over large pretrained models."""

from __future__ import annotations

from pathlib import Path

from offline_training.encoders.base import Encoder, EncoderError

NAMES = ("builtin", "clap+clip", "pe-av", "imagebind")

__all__ = ["NAMES", "Encoder", "EncoderError", "open_encoder"]


def open_encoder(
    name: str,
    weights: str | None = None,
    heads: Path | None = None,
    device: str = "cpu",
    text: Path | None = None,
) -> Encoder:
    """The encoder called ``name``, or your own, ``FILE.py:CLASS`` or ``MODULE:CLASS``.

    Local files are tried first, then the model hub.

    ``weights``: builtin: encoders of marssep train align (none: the bundle's own); clap+clip: "CLAP,CLIP"
    names or folders; pe-av: a name or folder; imagebind: a .pth file. ``text``: where builtin's text encoder
    is (a bundle or a folder of marssep train text). ``heads``: aligned heads for a large encoder, by
    marssep train
    align. Raises EncoderError.
    """
    encoder: Encoder
    if name not in NAMES and ":" not in name:
        raise EncoderError(
            f"there is no encoder {name!r}; choose one of {', '.join(NAMES)}, or your own: FILE.py:CLASS"
        )
    if name == "builtin":
        from offline_training.encoders.builtin import BuiltinEncoder

        return BuiltinEncoder(Path(weights) if weights else None, text)
    if ":" in name:
        from offline_training.encoders.own import open_own

        encoder = open_own(name, weights, device)
    elif name == "clap+clip":
        from offline_training.encoders.clap_clip import ClapClip

        clap, _, clip = (weights or "").partition(",")
        encoder = ClapClip.from_pretrained(clap or ClapClip.CLAP, clip or ClapClip.CLIP, device)
    elif name == "pe-av":
        from offline_training.encoders.pe_av import PeAv

        encoder = PeAv.from_pretrained(weights or PeAv.WEIGHTS, device)
    else:
        from offline_training.encoders.imagebind import ImageBind

        encoder = ImageBind.from_installation(Path(weights) if weights else None, device)
    if heads is not None:
        from offline_training.encoders.heads import Headed

        encoder = Headed.load(encoder, heads)
    return encoder
