"""Audio files: reading whatever their headers say, atomic writing, and recording during a live run."""
