"""Chat templates, and what models print beside their answer: thoughts, dates."""
