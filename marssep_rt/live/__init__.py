"""A live run: audio devices, engine, control, display and statistics."""
