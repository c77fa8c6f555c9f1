"""Figures for a paper: each a function of a tidy table that returns a plotnine figure.

A figure can be themed like any other, ``figure + plotnine.theme(...)``, and written with `save`. Colours are
those of Okabe and Ito. Models also differ by shape and line, for print without colour.
"""

from grace_client.analysis.figures._cells import cells
from grace_client.analysis.figures._models import closeness, consistency, option_mass
from grace_client.analysis.figures._render import save, svg
from grace_client.analysis.figures._study1 import entropy, knowledge, percentages, states
from grace_client.analysis.figures._study2 import goals, judgements, negation, utterances
from grace_client.analysis.figures._style import cast
from grace_client.analysis.figures._ways import specification_curve, variance_components

__all__ = [
    "cast",
    "cells",
    "closeness",
    "consistency",
    "entropy",
    "goals",
    "judgements",
    "knowledge",
    "negation",
    "option_mass",
    "percentages",
    "save",
    "specification_curve",
    "states",
    "svg",
    "utterances",
    "variance_components",
]
