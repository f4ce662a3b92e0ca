"""What changes a live run: its controller, the keyboard, OSC and presets."""
