"""Control over OSC (Open Sound Control 1.0) on loopback: queries and knobs in, meters out.

In, on the port that was asked for: ``/marssep/query "text"``, ``/marssep/strength 0..100``, ``/marssep/wet
0..1``, ``/marssep/limit dB`` (negative: none), ``/marssep/gain dB``, ``/marssep/bypass 0|1``,
``/marssep/remove 0|1``, ``/marssep/learn seconds``, ``/marssep/reset``, ``/marssep/record``,
``/marssep/quit``. Out, on the next port ten times a
second: ``/marssep/meters input output presence`` (dBFS, dBFS, 0..1), and ``/marssep/message text`` whenever
there is a new one.
"""

from __future__ import annotations

import threading
from typing import Any

from marssep_rt.dsp.levels import decibels
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.live.control.controller import LEARN_SECONDS, LiveController

HOST = "127.0.0.1"
METERS_EVERY = 0.1
PLACE = "/marssep/"


def number(values: tuple[Any, ...], otherwise: float | None = None) -> float:
    """The only argument as a number; raises UsageError for anything else."""
    if not values and otherwise is not None:
        return otherwise
    if len(values) != 1 or not isinstance(values[0], (int, float)):
        raise UsageError("OSC: one number is expected")
    return float(values[0])


def words(values: tuple[Any, ...]) -> str:
    if len(values) != 1 or not isinstance(values[0], str):
        raise UsageError("OSC: one text is expected")
    return values[0]


class OscControl:
    """A server for a run's control and a sender of its meters; both on threads of their own."""

    def __init__(self, control: LiveController, port: int) -> None:
        """Raises UsageError without python-osc, MarssepError where the port is taken."""
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import BlockingOSCUDPServer
            from pythonosc.udp_client import SimpleUDPClient
        except ImportError as e:
            raise UsageError("OSC needs python-osc: pip install 'marssep[osc]'") from e
        self.control = control
        dispatcher = Dispatcher()
        dispatcher.map(PLACE + "*", self.take)
        dispatcher.set_default_handler(lambda *_: None)
        try:
            self.server = BlockingOSCUDPServer((HOST, port), dispatcher)
        except OSError as e:
            raise MarssepError(
                f"OSC cannot listen on port {port}: {e.strerror}; choose another with --osc PORT"
            ) from e
        self.client = SimpleUDPClient(HOST, port + 1)
        self.closing = threading.Event()
        self.threads = [
            threading.Thread(target=work, daemon=True, name="marssep-osc")
            for work in (self.server.serve_forever, self.tell)
        ]

    def __enter__(self) -> OscControl:
        for thread in self.threads:
            thread.start()
        return self

    def take(self, address: str, *values: Any) -> None:
        """One message; what cannot be used is answered by /marssep/message."""
        control, name = self.control, address.removeprefix(PLACE)
        try:
            if name == "query":
                control.ask(words(values))
            elif name == "wet":
                control.change(wet=number(values))
            elif name == "limit":
                limit = number(values)
                control.change(limit_db=None if limit < 0 else limit)
            elif name == "strength":
                control.change(strength=number(values))
            elif name == "gain":
                control.change(gain_db=number(values))
            elif name in ("bypass", "remove"):
                control.change(**{name: number(values) > 0.5})
            elif name == "learn":
                control.learn(min(60.0, max(0.5, number(values, LEARN_SECONDS))))
            elif name == "reset":
                control.reset()
            elif name == "record":
                control.record()
            elif name == "quit":
                control.quit = True
            else:
                control.message = f"OSC: there is no {address}"
        except UsageError as e:
            control.message = f"{e} ({address})"

    def tell(self) -> None:
        said = ""
        while not self.closing.wait(METERS_EVERY):
            t = self.control.engine.stats
            try:
                self.client.send_message(
                    PLACE + "meters",
                    [decibels(t.level_in), decibels(t.level_out), self.control.engine.presence()],
                )
                if self.control.message != said:
                    said = self.control.message
                    self.client.send_message(PLACE + "message", said)
            except OSError:  # nobody listens there
                continue

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
