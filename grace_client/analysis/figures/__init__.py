"""Figures for a paper: each a function of a tidy table that returns a plotnine figure.

A figure can be themed like any other, ``figure + plotnine.theme(...)``, and written with `save`. Colours are
those of Okabe and Ito; models differ by shape and line too, so that print without colour can be read.
"""

from grace_client.analysis.figures._models import agreement, option_mass, saying
from grace_client.analysis.figures._render import save, svg
from grace_client.analysis.figures._study1 import entropy, knowledge, percentages, states
from grace_client.analysis.figures._study2 import goals, judgements, negation, utterances
from grace_client.analysis.figures._style import cast

__all__ = [
    "agreement",
    "cast",
    "entropy",
    "goals",
    "judgements",
    "knowledge",
    "negation",
    "option_mass",
    "percentages",
    "save",
    "saying",
    "states",
    "svg",
    "utterances",
]
