"""The console commands ``marssep``, ``marssep live``, ``marssep file``, ``marssep query`` ..."""
