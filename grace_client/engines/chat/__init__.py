"""Chat templates, and how models mark their reasoning."""
