"""Kubernetes quantities, exactly: `76800Mi`, `9.6`, `500m`, `1e3` as fractions, never as floats."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS: dict[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(10 ** (3 * (i + 1))) for i, suffix in enumerate("kMGTPE")},
    **{
        suffix: Fraction(2 ** (10 * (i + 1))) for i, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    },
}
"""The value of one unit of each suffix."""

MAX_RATIO = Fraction(6, 5)
"""A limit may be this many times its request."""

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_LONGEST = 60
_MAX_EXPONENT = 30
_SMALLER = {"Ei": "Pi", "Pi": "Ti", "Ti": "Gi", "Gi": "Mi", "Mi": "Ki", "Ki": ""} | {
    "E": "P",
    "P": "T",
    "T": "G",
    "G": "M",
    "M": "k",
    "k": "",
}


class QuantityError(ValueError):
    """The value is not a Kubernetes quantity."""


def _split(value: object) -> tuple[Fraction, str]:
    text = str(value)
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST and not isinstance(value, bool) else None
    exponent = int(match[2] or 0) if match else 0
    if match is None or abs(exponent) > _MAX_EXPONENT:
        raise QuantityError(
            f"{text[:_LONGEST]!r} is not a Kubernetes quantity; write a number and one of the suffixes "
            "m, k, M, G, T, Ki, Mi, Gi, Ti or none"
        )
    return Fraction(match[1]) * Fraction(10) ** exponent, match[3] or ""


def quantity(value: object) -> Fraction:
    """The value of a quantity, in cores, bytes or devices.

    Parameters
    ----------
    value : object
        As YAML gives it: a string or a number.

    Raises
    ------
    QuantityError
        For anything that Kubernetes would not accept as a quantity.
    """
    number, suffix = _split(value)
    return number * UNITS[suffix]


def decimal(number: Fraction) -> str:
    """A fraction as a decimal number without superfluous digits, rounded down at the twelfth place."""
    whole, rest = divmod(abs(number), 1)
    digits = f"{int(rest * 10**12):012d}".rstrip("0")
    return f"{'-' if number < 0 else ''}{int(whole)}" + (f".{digits}" if digits else "")


def bound(request: object, ratio: Fraction = MAX_RATIO) -> str:
    """`ratio` times a request, exactly, in the request's own unit: `76.8Gi` for `64Gi`."""
    number, suffix = _split(request)
    return decimal(number * ratio) + suffix


def largest_limit(resource: str, request: object, ratio: Fraction = MAX_RATIO) -> str:
    """The largest limit worth writing for a request.

    Cores come in thousandths. Bytes come in whole units of the request's suffix, or of a smaller one if a
    whole unit would leave no headroom: `64Gi` gives `76Gi`, `1Gi` gives `1228Mi`. This is a whole number of
    bytes, so no rounding in the cluster can push it over the bound.
    """
    number, suffix = _split(request)
    most = number * UNITS[suffix] * ratio
    if resource == "cpu":
        floor = Fraction(int(most * 1000), 1000)
        return decimal(floor / UNITS["m"]) + "m" if suffix in ("n", "u", "m") else decimal(floor)
    suffix = "" if suffix in ("n", "u", "m") else suffix
    while suffix and int(most / UNITS[suffix]) * UNITS[suffix] <= most / ratio:
        suffix = _SMALLER[suffix]
    return f"{int(most / UNITS[suffix])}{suffix}"


def smallest_request(resource: str, limit: object, ratio: Fraction = MAX_RATIO) -> str:
    """The smallest request that allows a limit, in thousandths of a core or whole units of its suffix."""
    number, suffix = _split(limit)
    least = number * UNITS[suffix] / ratio
    if resource == "cpu":
        ceiling = Fraction(-int(-least * 1000 // 1), 1000)
        return decimal(ceiling / UNITS["m"]) + "m" if suffix in ("n", "u", "m") else decimal(ceiling)
    suffix = "" if suffix in ("n", "u", "m") else suffix
    return f"{-int(-least / UNITS[suffix] // 1)}{suffix}"
