"""What a live run shows: the dashboard and plain lines."""
