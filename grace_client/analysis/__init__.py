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
    from grace_client.analysis._data.reading import contents, read
    from grace_client.analysis._data.wording import wording
    from grace_client.analysis._statistics.noise import mark_noise
    from grace_client.analysis.distributions import summarise
    from grace_client.analysis.inference import holm, mean_intervals

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
    "contents": "_data.reading",
    "holm": "inference",
    "mark_noise": "_statistics.noise",
    "read": "_data.reading",
    "summarise": "distributions",
    "wording": "_data.wording",
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
