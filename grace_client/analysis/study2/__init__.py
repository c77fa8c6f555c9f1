"""Study 2, politeness: utterances by goal and state.

Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from competing
social goals. *Open Mind*, 4. doi:10.1162/opmi_a_00035
"""

from grace_client.analysis.reference._design import CELL, GOALS, STATES, UTTERANCES
from grace_client.analysis.study2._goal_contrasts import GOAL_CONTRASTS, anova, differences
from grace_client.analysis.study2._judgements import judgements
from grace_client.analysis.study2._log_odds import MODEL_GOALS
from grace_client.analysis.study2._negation import NegationModel, negation_model
from grace_client.analysis.study2._shares import (
    CHANCE,
    LEVELS,
    ORDER,
    binomial,
    by_item,
    choices,
    counts,
    negation,
    utterances,
)
from grace_client.analysis.study2._utility import utilities

__all__ = [
    "CELL",
    "CHANCE",
    "GOALS",
    "GOAL_CONTRASTS",
    "LEVELS",
    "MODEL_GOALS",
    "ORDER",
    "STATES",
    "UTTERANCES",
    "NegationModel",
    "anova",
    "binomial",
    "by_item",
    "choices",
    "counts",
    "differences",
    "judgements",
    "negation",
    "negation_model",
    "utilities",
    "utterances",
]
