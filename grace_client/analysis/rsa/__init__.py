"""Rational speech act models of both studies: the answers of a listener or speaker who reasons."""

from grace_client.analysis.rsa._fit import Fit, fit_study1, fit_study2
from grace_client.analysis.rsa._listener import (
    NUMBERS,
    QUANTIFIERS,
    binomial_prior,
    knowing_listener,
    knowing_speaker,
    literal_listener,
    observation,
    predict_study1,
)
from grace_client.analysis.rsa._speaker import (
    PHI,
    Goals,
    Speaker,
    first_listener,
    first_speaker,
    people,
    predict_study2,
    second_speaker,
)

__all__ = [
    "NUMBERS",
    "PHI",
    "QUANTIFIERS",
    "Fit",
    "Goals",
    "Speaker",
    "binomial_prior",
    "first_listener",
    "first_speaker",
    "fit_study1",
    "fit_study2",
    "knowing_listener",
    "knowing_speaker",
    "literal_listener",
    "observation",
    "people",
    "predict_study1",
    "predict_study2",
    "second_speaker",
]
