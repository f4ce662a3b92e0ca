"""The console commands marssep-live, marssep-file and marssep-query."""
