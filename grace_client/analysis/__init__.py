"""What analysts import: tidy tables in, small documented tables out."""

from grace_client.analysis.distributions import cell_means, summarise

__all__ = ["cell_means", "summarise"]
