"""The formats that outputs can have, by the name of ``--format`` and by the suffix of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marssep_rt.errors import AudioFileError, UsageError

OWN = ""  # the sample format of the input


@dataclass(frozen=True)
class OutputFormat:
    """A format to write.

    Attributes:
        name: Its name for ``--format``.
        suffix: Of files in it.
        container: libsndfile's name, or ffmpeg's where ``by_ffmpeg``.
        subtype: libsndfile's sample format, or ``OWN``; the codec where ``by_ffmpeg``.
        rates: The sample rates in Hz that it allows; empty allows all.
        most_channels: The most channels that it holds here.
        by_ffmpeg: Whether ffmpeg writes it.
        has_picture: Whether it is a video, whose picture is that of the input.
    """

    name: str
    suffix: str
    container: str
    subtype: str = OWN
    rates: tuple[int, ...] = ()
    most_channels: int = 64
    by_ffmpeg: bool = False
    has_picture: bool = False


MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
FORMATS = {
    f.name: f
    for f in (
        OutputFormat("wav", ".wav", "WAV"),
        OutputFormat("wav16", ".wav", "WAV", "PCM_16"),
        OutputFormat("wav24", ".wav", "WAV", "PCM_24"),
        OutputFormat("wav32", ".wav", "WAV", "FLOAT"),
        OutputFormat("flac", ".flac", "FLAC", "PCM_24", most_channels=8),
        OutputFormat("flac16", ".flac", "FLAC", "PCM_16", most_channels=8),
        OutputFormat("ogg", ".ogg", "OGG", "VORBIS", most_channels=2),
        OutputFormat("opus", ".opus", "OGG", "OPUS", OPUS_RATES, most_channels=2),
        OutputFormat("mp3", ".mp3", "MP3", "MPEG_LAYER_III", MP3_RATES, most_channels=2),
        OutputFormat("m4a", ".m4a", "ipod", "aac", AAC_RATES, by_ffmpeg=True),
        OutputFormat("mp4", ".mp4", "mp4", "aac", AAC_RATES, by_ffmpeg=True, has_picture=True),
        OutputFormat("mov", ".mov", "mov", "aac", AAC_RATES, by_ffmpeg=True, has_picture=True),
        OutputFormat("mkv", ".mkv", "matroska", "aac", AAC_RATES, by_ffmpeg=True, has_picture=True),
        OutputFormat("webm", ".webm", "webm", "libopus", OPUS_RATES, by_ffmpeg=True, has_picture=True),
    )
}
ALIASES = {"float": "wav32", "flac24": "flac", "vorbis": "ogg"}
SUFFIX_NAMES = {".wave": "wav", ".oga": "ogg", ".m4v": "mp4"}


def format_named(name: str) -> OutputFormat:
    """The format of a name.

    Raises:
        UsageError: There is none; the message lists all.
    """
    found = FORMATS.get(ALIASES.get(name.lower(), name.lower()))
    if found is None:
        raise UsageError(
            f"unknown format {name!r}; choose {', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]}"
        )
    return found


def format_of(path: Path, name: str | None = None) -> OutputFormat:
    """The format of an output file, by its suffix, and by its name for ``--format`` where that says more.

    Raises:
        UsageError: The suffix stands for no format, or contradicts the name.
    """
    suffix = path.suffix.lower()
    by_suffix = FORMATS.get(SUFFIX_NAMES.get(suffix, suffix[1:])) if suffix else None
    if by_suffix is None:
        known = ", ".join(dict.fromkeys(f.suffix for f in FORMATS.values()))
        raise UsageError(f"{path}: outputs end in {known} (a folder ends in /)")
    if name is None:
        return by_suffix
    named = format_named(name)
    if named.suffix != by_suffix.suffix:
        raise UsageError(
            f"{path} is named as {by_suffix.name.upper()}, but --format says {named.name}; "
            f"drop --format or call it {path.with_suffix(named.suffix).name}"
        )
    return named


def rate_for(wanted: OutputFormat, rate: int) -> int:
    """The sample rate to write: the nearest allowed one that loses nothing, else the highest."""
    if not wanted.rates or rate in wanted.rates:
        return rate
    return min((r for r in wanted.rates if r >= rate), default=max(wanted.rates))


def check_channels(path: Path, wanted: OutputFormat, channels: int) -> None:
    """Raise AudioFileError where a format does not hold as many channels."""
    if channels > wanted.most_channels:
        raise AudioFileError(
            f"{path}: {wanted.name.upper()} holds {wanted.most_channels} channels, but there are {channels}; "
            "choose WAV or FLAC"
        )
