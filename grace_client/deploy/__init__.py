"""One model on a cluster: its values, its release, and what ends it."""
