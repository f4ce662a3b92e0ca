"""What lossy codecs cost: the mixtures of ``marssep train suite --only seen``, coded and decoded before the
separator hears them.

    python tests/benchmarks/lossy_codecs.py --corpus cache/corpus [--split val] [--mixtures 60] [--bundle B]

The target is coded in the same way, so that what the codec cuts off is not counted against the separator.
"""

import io
import json
from dataclasses import replace

import asking
import numpy as np
import soundfile

from offline_training.data.corpus import SAMPLE_RATE
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.voice import EncoderVoice

MP3, OPUS, VORBIS = ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"), ("OGG", "VORBIS")
MP3_KBPS, OPUS_KBPS = (32, 320), (6, 256)  # what libsndfile's compression levels 1 and 0 stand for, mono
CODECS = {
    "as recorded": None,
    "MP3, 128 kbit/s": (MP3, 128),
    "MP3, 64 kbit/s": (MP3, 64),
    "Opus, 48 kbit/s": (OPUS, 48),
    "Opus, 24 kbit/s (a call)": (OPUS, 24),
    "Opus, 12 kbit/s": (OPUS, 12),
    "Vorbis, lowest quality": (VORBIS, None),
}


def coded(audio, codec, kbps):
    """A signal at 48 kHz through a codec, as long as before and in time with it."""
    form, subtype = codec
    least, most = OPUS_KBPS if codec == OPUS else MP3_KBPS
    level = 1.0 if kbps is None else (most - kbps) / (most - least)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        SAMPLE_RATE,
        1,
        format=form,
        subtype=subtype,
        compression_level=level,
        bitrate_mode="CONSTANT" if codec == MP3 else None,
    ) as out:
        out.write(audio)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.pad(decoded, (0, max(0, len(audio) - len(decoded))))[: len(audio)]


def through(question, codec, kbps):
    """A question whose mixture and target went through a codec."""
    mixture, target = (coded(x, codec, kbps) for x in (question.mixture, question.target))
    return replace(question, mixture=mixture, target=target)


def main():
    options = asking.parser(__doc__, 60).parse_args()
    bundle, sources = asking.opened(options)
    voice = EncoderVoice(BuiltinEncoder(text=bundle.path), sources.corpus)
    asked = list(questions.by_label(sources, voice, options.mixtures))
    listener = BundleListener(bundle)
    for name, codec in CODECS.items():
        heard = asked if codec is None else [through(question, *codec) for question in asked]
        print(json.dumps({name: suite.summary(suite.measure(listener, iter(heard)))}), flush=True)


if __name__ == "__main__":
    main()
