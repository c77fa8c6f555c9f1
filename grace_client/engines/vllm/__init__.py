"""The engine behind a vLLM server."""
