"""Which pre-trained trunk a TensorFlow Lite file holds: ``marssep train trunk``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from offline_training.encoders import mobilenet, yamnet
from offline_training.encoders.mobilenet import MobileTrunk
from offline_training.encoders.tflite_weights import fill, read_layers, save_trunk
from offline_training.encoders.yamnet import FEATURES, YamnetTrunk
from offline_training.utils.checkpoint_io import CheckpointError


def convert(source: Path, output: Path) -> str:
    """Write the YAMNet or MobileNetV2 in ``source`` as a trunk; returns its name. YAMNet's classifier goes
    along.

    Raises CheckpointError where the file has neither.
    """
    layers = read_layers(source)
    image, sound = MobileTrunk(), YamnetTrunk()
    more: dict[str, Tensor] = {}
    if (filled := fill(sound.convolutions(), layers)) == len(sound.convolutions()):
        last = next(
            (
                x
                for x in reversed(layers)
                if x.kind == "FULLY_CONNECTED" and x.weights.shape[1:] == (FEATURES,)
            ),
            None,
        )
        if last is not None and last.bias is not None:
            more = {
                "classifier_weight": torch.from_numpy(np.array(last.weights)),
                "classifier_bias": torch.from_numpy(np.array(last.bias)),
            }
        save_trunk(output, yamnet.NAME, sound, **more)
        return yamnet.NAME
    if (other := fill(image.convolutions(), layers)) == len(image.convolutions()):
        save_trunk(output, mobilenet.NAME, image)
        return mobilenet.NAME
    raise CheckpointError(
        f"the model in {source} is neither YAMNet nor MobileNetV2: nothing fits convolution "
        f"{filled + 1} of the one and "
        f"{other + 1} of the other"
    )
