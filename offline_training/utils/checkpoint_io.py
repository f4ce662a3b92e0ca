"""Checkpoints: configuration and tensors, written beside and renamed, loaded without executing anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marssep_rt.utils.atomic_io import written_beside


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why in one sentence."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Atomic torch.save; raises CheckpointError where it cannot be written: what was there before stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside:
            torch.save(content, beside)
    except (OSError, RuntimeError) as e:  # torch's own writer turns a full disk into a RuntimeError
        reason = e.strerror if isinstance(e, OSError) else "is the disk full?"
        raise CheckpointError(f"cannot write {path} ({reason}); an earlier one is untouched") from e


def read(path: Path, missing: str) -> Any:
    """What torch finds in a file; raises CheckpointError when it is damaged or, saying ``missing``, not
    there.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise CheckpointError(missing) from e
    except IsADirectoryError as e:
        raise CheckpointError(f"{path} is a folder; name a checkpoint in it") from e
    except Exception as e:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"{path} is not a readable checkpoint ({type(e).__name__})") from e


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; raises CheckpointError when it is missing, truncated or not one
    of ours."""
    content = read(path, f"there is no checkpoint at {path}")
    if not isinstance(content, dict) or "separator" not in content or "weights" not in content:
        raise CheckpointError(f"{path} is not a checkpoint of marssep train")
    return content


def slim(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Half-precision copy for storage."""
    return {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}


def mean(paths: Sequence[Path], shares: Sequence[float] = ()) -> dict[str, Any]:
    """A checkpoint with the mean of all their weights: one model of a run and its start, or of runs with one
    start (model soups, Wortsman et al. 2022; WiSE-FT, Wortsman et al. 2022).

    Args:
        paths: The checkpoints.
        shares: How much each counts, above 0; they need not sum to one. Empty: all alike.

    Raises:
        CheckpointError: One cannot be read, is of another shape or was trained on another encoder than the
            first.
    """
    parts = torch.tensor(list(shares) or [1.0] * len(paths), dtype=torch.float32)
    parts /= parts.sum()
    contents = [load(path) for path in paths]
    first = contents[0]
    for path, content in zip(paths, contents, strict=True):
        if {k: v.shape for k, v in content["weights"].items()} != {
            k: v.shape for k, v in first["weights"].items()
        }:
            raise CheckpointError(f"{path} is a model of another shape than {paths[0]}")
        if content["encoder"] != first["encoder"]:
            raise CheckpointError(
                f"{path} was trained on encoder {content['encoder']}, {paths[0]} on {first['encoder']}"
            )
    weights = {
        name: torch.stack([content["weights"][name].float() for content in contents], dim=-1)
        .matmul(parts)
        .to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first["weights"].items()
    }
    told: dict[str, Any] = {
        key: first[key] for key in ("encoder", "labels", "trained_on", "licence") if key in first
    }
    if all("heard" in content for content in contents):
        told["heard"] = torch.cat([content["heard"] for content in contents]).unique()
    return {
        "separator": first["separator"],
        "weights": weights,
        **told,
        "mean_of": [
            training(c) | {"share": round(float(s), 4)} for c, s in zip(contents, parts, strict=True)
        ],
    }


def training(content: Mapping[str, Any]) -> dict[str, Any]:
    """How weights came about, as cards tell it: step, figures on val and recipe of their run, or those of
    every run averaged.
    """
    if "mean_of" in content:
        return {"mean_of": content["mean_of"]}
    return {
        "step": content.get("step"),
        "val": content.get("val"),
        "recipe": json.loads(content.get("recipe", "{}")),
    }


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], what: str = "model", may_lack: tuple[str, ...] = ()
) -> None:
    """Weights of any precision into an fp32 model; raises CheckpointError, naming it by ``what``, where
    shapes or names differ.

    ``may_lack``: name prefixes of what may be missing in ``weights`` and then stays as it is.
    """
    given = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    for name, value in model.state_dict().items():
        if name.startswith(may_lack or ("\0",)):
            given.setdefault(name, value)
    if different := difference(given, model.state_dict()):
        raise CheckpointError(f"the checkpoint does not fit the {what}: {different}")
    model.load_state_dict(given)


def difference(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first weight of a checkpoint that a model does not take as it is; "" where all fit."""
    for name, value in own.items():
        if name not in given:
            return f"it has no {name}"
        if given[name].shape != value.shape:
            sizes = ("x".join(map(str, shape)) or "1" for shape in (given[name].shape, value.shape))
            return f"{name} has the size {next(sizes)} instead of {next(sizes)}"
    return next((f"it also has {name}" for name in given if name not in own), "")
