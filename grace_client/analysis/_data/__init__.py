"""From files of answers to tidy frames."""
