"""Audio devices and what stands in for one: PortAudio, JACK, a virtual microphone, loopback, the demo."""
