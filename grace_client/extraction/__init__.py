"""Free text to structured answers."""
