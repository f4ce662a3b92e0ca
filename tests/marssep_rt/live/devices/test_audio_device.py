"""Which devices are offered, and which one is taken if nobody names one."""

from types import SimpleNamespace

import pytest

from marssep_rt.live.devices import audio_device
from marssep_rt.live.devices.audio_device import choose, list_devices

CARD, ALSA_JACK, JACK = ("HDA Intel", 0), ("jack", 0), ("system", 1)


@pytest.fixture
def machine(monkeypatch):
    """Offers devices (name, API's number) of two inputs and outputs; the first is PortAudio's default."""

    def offer(*devices):
        entries = [
            {
                "name": name,
                "hostapi": api,
                "max_input_channels": 2,
                "max_output_channels": 2,
                "default_samplerate": 48_000.0,
            }
            for name, api in devices
        ]
        apis = [{"name": "ALSA"}, {"name": "JACK Audio Connection Kit"}]
        library = SimpleNamespace(
            query_devices=lambda: entries,
            query_hostapis=lambda: apis,
            default=SimpleNamespace(device=[0, 0]),
        )
        monkeypatch.setattr(audio_device, "portaudio", lambda: library)

    return offer


def test_the_jack_server_is_taken_instead_of_alsas_detour_to_it(machine):
    machine(ALSA_JACK, CARD, JACK)
    assert [d.index for d in list_devices()] == [1, 2]
    assert choose(None, "input").index == 2
    assert choose("jack", "output").index == 2


def test_without_a_server_portaudios_default_is_taken(machine):
    machine(ALSA_JACK, CARD)
    assert choose(None, "input").index == 0
    machine(CARD, ALSA_JACK, JACK)
    assert choose(None, "input").index == 0
