"""grace measures what a language model believes: exact probabilities over closed sets of answers."""

__version__ = "0.1.0"
