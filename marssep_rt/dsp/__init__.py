"""Signal processing without devices or files: streaming, mixing, resampling, latency, presence."""
