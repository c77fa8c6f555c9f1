"""The sections of a report, each of which may fail alone."""
