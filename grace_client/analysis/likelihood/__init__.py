"""How well models, baselines and people predict each choice of people: negative log-likelihood in nats.

The negative log-likelihood per choice is the mean of ``-ln(prob)`` over the choices of people, with the
probability that a model gave to the outcome that was chosen (the measure of Binz et al., 2025). Less is
better. Alone the number says little, so it has rows beside it: what one knows without a model, and how well
people predict people.

References
----------
Binz, M., et al. (2025). A foundation model to predict and capture human cognition. *Nature*, 644, 1002-1009.
"""

from grace_client.analysis.likelihood._predictors import ADDED, LEAST_FOR_SHARE, SPLITS
from grace_client.analysis.likelihood._results import LEAST_CHOICES, differences, per_choice

__all__ = ["ADDED", "LEAST_CHOICES", "LEAST_FOR_SHARE", "SPLITS", "differences", "per_choice"]
