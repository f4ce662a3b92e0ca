"""BSS-eval v4 (Stöter et al. 2018) as the field uses it: one window as long as the clip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from offline_training.utils.run import RunError

Audio = npt.NDArray[np.float32]


def bss_eval(references: Audio, estimates: Audio) -> tuple[float, float, float]:
    """SDR, SIR and SAR in dB of the first of two sources, [2, samples] each; raises RunError where museval
    cannot be used.
    """
    try:
        from museval.metrics import bss_eval as museval_bss_eval
    except (ImportError, RuntimeError) as e:  # its musdb wants ffmpeg and says so with a RuntimeError
        raise RunError(
            f'BSS-eval needs museval: pip install "marssep[research]", and ffmpeg of your system ({e})'
        ) from e
    sdr, _, sir, sar, _ = museval_bss_eval(
        references[..., None], estimates[..., None], window=np.inf, hop=np.inf
    )
    return float(sdr[0, 0]), float(sir[0, 0]), float(sar[0, 0])
