"""Audio files: reading, atomic writing, and recording during a live run."""
