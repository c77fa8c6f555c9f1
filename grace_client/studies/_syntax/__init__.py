"""What a value in a study file may be: YAML, templates, patterns and kinds of values."""
