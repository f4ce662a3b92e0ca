"""What runs at the pace of the audio device: the engine, its callback and its model worker."""
