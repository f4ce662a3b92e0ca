"""A trained separator in another query space: its query layer is fitted anew, everything behind it stays.

The layer's outputs for the old vectors of the labels are what the network behind it understands. Ridge
regression finds the linear map that gives the same outputs for the new vectors (recordings and words) of the
same labels; training goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from offline_training.data.query_table import QueryTable, Vectors
from offline_training.utils.checkpoint_io import CheckpointError

NAME = "unet.query.0"
RIDGE = 0.02  # of the mean square of the inputs


def ridge(
    inputs: np.ndarray, outputs: np.ndarray, weights: np.ndarray, strength: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [O, I] and bias [O] of the weighted least-squares map from inputs [N, I] to outputs [N, O],
    shrunk by ``strength``.
    """
    share = weights / weights.sum()
    centre_in, centre_out = share @ inputs, share @ outputs
    x, y = inputs - centre_in, outputs - centre_out
    square = (x * share[:, None]).T @ x
    square += strength * np.trace(square) / len(square) * np.eye(len(square))
    weight = np.linalg.solve(square, (x * share[:, None]).T @ y).T
    return weight, centre_out - weight @ centre_in


def rebase(content: Mapping[str, Any], old: Mapping[str, Vectors], new: QueryTable) -> dict[str, Any]:
    """A checkpoint's content for the table's space; ``old``: the vector of every label in the checkpoint's
    own space.

    Raises CheckpointError where fewer than two labels are in both.
    """
    labels = [label for label in old if label in new.index]
    if len(labels) < 2:
        raise CheckpointError("the checkpoint's labels and the query table's have less than two in common")
    weights = dict(content["weights"])
    layer, bias = weights[f"{NAME}.weight"].float().numpy(), weights[f"{NAME}.bias"].float().numpy()
    scale_old, scale_new = layer.shape[1] ** 0.5, new.dim**0.5
    inputs, outputs, share = [], [], []
    for label in labels:
        vectors = [new.vectors_of(label)]
        if label in new.audio:
            vectors.append(new.audio[label].vectors)
        every = np.concatenate(vectors)
        inputs.append(every * scale_new)
        outputs.append(np.repeat((layer @ (old[label] * scale_old) + bias)[None], len(every), axis=0))
        share.append(np.full(len(every), 1 / len(every)))
    x, y, of_items = (np.concatenate(rows).astype(np.float64) for rows in (inputs, outputs, share))
    weight, offset = ridge(x, y, of_items)
    weights[f"{NAME}.weight"] = torch.from_numpy(weight.astype(np.float32)).half()
    weights[f"{NAME}.bias"] = torch.from_numpy(offset.astype(np.float32)).half()
    unet = {**content["separator"]["unet"], "query_dim": new.dim}
    return {
        "separator": {**content["separator"], "unet": unet},
        "weights": weights,
        "encoder": new.encoder,
        "rebased_from": content["encoder"],
        **({"heard": content["heard"]} if "heard" in content else {}),
    }
