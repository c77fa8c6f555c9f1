"""How long a server may take, from its values; the same as in the chart's templates.

Functions take all values of a release, as `grace_client.deploy.values.effective` returns them. Rates in them
are worst cases, so times are upper bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

LONGEST_WAIT_MINUTES = 1439
"""The longest `queries.queueMinutes` and `queries.waitMinutes` that the chart takes."""

_MB_PER_GIB = Fraction(2**30, 10**6)


def download_seconds(known: Mapping[str, Any]) -> int:
    """Seconds to download the weights; 0 if they are on the claim already (`weights.stage: none`)."""
    weights = known["weights"]
    return 0 if weights["stage"] == "none" else _move_seconds(known, weights["downloadMBps"])


def startup_seconds(known: Mapping[str, Any]) -> int:
    """Seconds from the server's start to its first answer: reading the weights, then preparing the engine."""
    startup = known["server"]["startup"]
    computed = _move_seconds(known, startup["readMBps"]) + int(startup["engineSeconds"])
    return int(startup["budgetSeconds"]) or computed


def wait_minutes(known: Mapping[str, Any]) -> int:
    """Minutes that clients wait for the first answer: for GPUs, for a download beside them, for the start."""
    queries = known["queries"]
    if given := int(queries["waitMinutes"]):
        return given
    download = download_seconds(known) if known["weights"]["stage"] == "init" else 0
    return int(queries["queueMinutes"]) + math.ceil((download + startup_seconds(known)) / 60)


def _move_seconds(known: Mapping[str, Any], rate: object) -> int:
    """Seconds to move the weights once, at a rate in MB/s."""
    return math.ceil(Fraction(str(known["model"]["weightsGiB"])) * _MB_PER_GIB / Fraction(str(rate)))
