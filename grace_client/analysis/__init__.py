"""What analysts import: tidy tables in, small documented tables out.

>>> from grace_client import analysis
>>> frame = analysis.read("runs", experiment="study1-exp2")  # doctest: +SKIP
>>> analysis.study1.cell_means(frame)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grace_client.analysis import (
        agreement,
        compare,
        distributions,
        example,
        exclusions,
        figures,
        inference,
        intervals,
        quality,
        reference,
        rsa,
        study1,
        study2,
    )
    from grace_client.analysis.asked import wording
    from grace_client.analysis.distributions import summarise
    from grace_client.analysis.inference import holm, mean_intervals
    from grace_client.analysis.noise import mark_noise
    from grace_client.analysis.reading import contents, read

__all__ = [
    "agreement",
    "compare",
    "contents",
    "distributions",
    "example",
    "exclusions",
    "figures",
    "holm",
    "inference",
    "intervals",
    "mark_noise",
    "mean_intervals",
    "quality",
    "read",
    "reference",
    "rsa",
    "study1",
    "study2",
    "summarise",
    "wording",
]

_MODULES = (
    "agreement",
    "compare",
    "distributions",
    "example",
    "exclusions",
    "figures",
    "inference",
    "intervals",
    "quality",
    "reference",
    "rsa",
    "study1",
    "study2",
)
_NAMES = {
    "mean_intervals": "inference",
    "contents": "reading",
    "holm": "inference",
    "mark_noise": "noise",
    "read": "reading",
    "summarise": "distributions",
    "wording": "asked",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
