"""JACK through PortAudio: a server with a fixed period, which also PipeWire offers.

PortAudio's adaptation of that period to another block size brings several blocks at once and then none, so
blocks of the server's own size are asked for. Even those come in pieces where they are longer than 1024
samples, PortAudio's own buffer; all pieces of a period carry the same time.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import sys

HOST_API = "JACK Audio Connection Kit"
# PortAudio keeps the pointer, so the name must live as long as the process
CLIENT_NAME = b"marssep"
PERIOD_CLIENT = b"marssep-period"
NO_START_SERVER = 1


def name_client() -> None:
    """Name the JACK client of this process before PortAudio initialises; without JACK do nothing."""
    with contextlib.suppress(OSError, AttributeError):
        set_name = _portaudio().PaJack_SetClientName
        set_name.argtypes, set_name.restype = [ctypes.c_char_p], ctypes.c_int
        set_name(CLIENT_NAME)


def server_period() -> int | None:
    """The samples that the JACK server delivers at a time.

    A client without ports asks the library that PortAudio itself is linked to: under ``pw-jack`` that is
    PipeWire's.

    Returns:
        The period; None without a server. The engine then adapts to the first block that comes.
    """
    try:
        library = _portaudio()
        connect, period, leave = (
            library.jack_client_open,
            library.jack_get_buffer_size,
            library.jack_client_close,
        )
    except (OSError, AttributeError):
        return None
    connect.restype, period.restype = ctypes.c_void_p, ctypes.c_uint32
    period.argtypes = leave.argtypes = [ctypes.c_void_p]
    status = ctypes.c_int()
    client = connect(PERIOD_CLIENT, NO_START_SERVER, ctypes.byref(status))
    if not client:
        return None
    try:
        return period(client) or None
    finally:
        leave(client)


def _portaudio() -> ctypes.CDLL:
    """The library that sounddevice loads; symbols of the libraries that it needs are found in it, too."""
    name = None if sys.platform == "win32" else ctypes.util.find_library("portaudio")
    if name is None:
        raise OSError("PortAudio is not a library of the system")
    return ctypes.CDLL(name)


def period_message(wanted: int, period: int, rate: int) -> str:
    """Why a block size that was asked for is not used."""
    return (
        f"JACK delivers {period} samples at a time, so --blocksize {wanted} is not used; "
        f"change the server's period instead (jackd -p {wanted}; "
        f"PipeWire: PIPEWIRE_LATENCY={wanted}/{rate} pw-jack marssep live ...)"
    )
