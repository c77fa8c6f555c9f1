"""Analysis of answers: functions that take tidy tables and return small documented tables.

>>> from grace_client import analysis
>>> frame = analysis.read("runs", experiment="study1-exp2")  # doctest: +SKIP
>>> analysis.study1.cell_means(frame)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grace_client.analysis import (
        cells,
        compare,
        consistency,
        distributions,
        effects,
        example,
        exclusions,
        figures,
        inference,
        intervals,
        likelihood,
        measured,
        power,
        quality,
        reference,
        regression,
        rsa,
        study1,
        study2,
        versus,
        ways,
    )
    from grace_client.analysis._data.people import people
    from grace_client.analysis._data.reading import experiment, manifests, read
    from grace_client.analysis._data.table_files import contents
    from grace_client.analysis._data.wording import wording
    from grace_client.analysis.cells import cell_means, shares
    from grace_client.analysis.distributions import summarise
    from grace_client.analysis.effects import anova, contrasts
    from grace_client.analysis.inference import holm, mean_intervals
    from grace_client.analysis.measured import outcome_list, outcomes
    from grace_client.analysis.regression import logistic, mixed
    from grace_client.analysis.versus import paired
    from grace_client.run.manifest import Manifest

__all__ = [
    "Manifest",
    "anova",
    "cell_means",
    "cells",
    "compare",
    "consistency",
    "contents",
    "contrasts",
    "distributions",
    "effects",
    "example",
    "exclusions",
    "experiment",
    "figures",
    "holm",
    "inference",
    "intervals",
    "likelihood",
    "logistic",
    "manifests",
    "mean_intervals",
    "measured",
    "mixed",
    "outcome_list",
    "outcomes",
    "paired",
    "people",
    "power",
    "quality",
    "read",
    "reference",
    "regression",
    "rsa",
    "shares",
    "study1",
    "study2",
    "summarise",
    "versus",
    "ways",
    "wording",
]

_HOMES = {
    "Manifest": "_data.reading",
    "anova": "effects",
    "cell_means": "cells",
    "contents": "_data.table_files",
    "contrasts": "effects",
    "experiment": "_data.reading",
    "holm": "inference",
    "logistic": "regression",
    "manifests": "_data.reading",
    "mean_intervals": "inference",
    "mixed": "regression",
    "outcome_list": "measured",
    "outcomes": "measured",
    "people": "_data.people",
    "paired": "versus",
    "read": "_data.reading",
    "shares": "cells",
    "summarise": "distributions",
    "wording": "_data.wording",
}
"""Modules of the functions. They are imported at their first use, so that `import grace_client` is fast."""


if not TYPE_CHECKING:
    # If a type checker saw `__getattr__`, it would give every misspelt name the type Any.
    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{_HOMES.get(name, name)}")
        return getattr(module, name) if name in _HOMES else module


def __dir__() -> list[str]:
    return __all__
