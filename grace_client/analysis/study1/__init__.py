"""Study 1, knowledge attribution: beliefs about the four states, and the effect of access.

Conditions are factors: ``access`` and ``observe`` are text throughout, and are never used as numbers.
Goodman, N. D., & Stuhlmüller, A. (2013). Knowledge and implicature: Modeling language understanding as social
cognition. *Topics in Cognitive Science*, 5(1), 173-184, Experiment 2.
"""

from grace_client.analysis.study1._beliefs import by_item, cell_means, coherence, implicature, knowledge
from grace_client.analysis.study1._bets import CELL, LEVELS, ORDER, STATES, bets, legal
from grace_client.analysis.study1._tests import ACCESS_EFFECTS, CONTRASTS, access_effects, anova, contrasts

__all__ = [
    "ACCESS_EFFECTS",
    "CELL",
    "CONTRASTS",
    "LEVELS",
    "ORDER",
    "STATES",
    "access_effects",
    "anova",
    "bets",
    "by_item",
    "cell_means",
    "coherence",
    "contrasts",
    "implicature",
    "knowledge",
    "legal",
]
