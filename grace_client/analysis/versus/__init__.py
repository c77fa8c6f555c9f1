"""Model against model: differences of any outcome of any study, paired by item."""

from grace_client.analysis.versus._pairs import paired

__all__ = ["paired"]
