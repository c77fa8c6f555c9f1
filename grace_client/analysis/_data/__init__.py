"""Reads files of answers into tidy frames."""
