"""Signal processing without devices or files: the streaming model path, mixing, resampling, latency, presence."""
