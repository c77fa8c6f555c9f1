"""Quantities are exact."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.kube.quantities import (
    MAX_RATIO,
    UNITS,
    QuantityError,
    bound,
    decimal,
    largest_limit,
    quantity,
    smallest_request,
)

numbers = st.decimals(min_value=0, max_value=10**6, places=3, allow_nan=False).map(lambda d: f"{d:f}")
suffixes = st.sampled_from(sorted(UNITS))
# What people write: no zero, no thousandth of a byte.
written = st.integers(1, 10**6).flatmap(
    lambda n: st.sampled_from(["", "k", "M", "G", "Ki", "Mi", "Gi"]).map(lambda s: f"{n}{s}")
)


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("0", 0),
        ("8", 8),
        (8, 8),
        (9.6, Fraction(96, 10)),
        ("9.6", Fraction(96, 10)),
        ("9600m", Fraction(96, 10)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+1", 1),
        ("-1", -1),
        ("100u", Fraction(1, 10_000)),
        ("1n", Fraction(1, 10**9)),
        ("1k", 1000),
        ("128M", 128 * 10**6),
        ("1.5G", 1_500_000_000),
        ("2T", 2 * 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 1024),
        ("76.8Gi", Fraction(768, 10) * 2**30),
        ("3Ti", 3 * 2**40),
        ("1Pi", 2**50),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12e-1", Fraction(12, 10)),
        ("1e+2", 100),
    ],
)
def test_what_a_quantity_is_worth(text: object, worth: Fraction | int) -> None:
    """Every suffix and exponent form of Kubernetes."""
    assert quantity(text) == worth


@pytest.mark.parametrize(
    "text",
    ["", " 8", "8 Gi", "64GB", "64gb", "64gi", "64K", "8 cores", "1e", "1e3Gi", "1.2.3", "0x10", "1_000",
     "e3", ".", "Gi", "nan", "inf", True, None, [], "1e999999999", "9" * 100, "８"],
)  # fmt: skip
def test_what_is_no_quantity(text: object) -> None:
    """Kubernetes would refuse it, and so would a limit that nobody can mean."""
    with pytest.raises(QuantityError, match="is not a Kubernetes quantity"):
        quantity(text)


@given(numbers, suffixes)
def test_quantities_agree_with_decimal_arithmetic(number: str, suffix: str) -> None:
    """Against Python's decimals, with digits to spare."""
    with localcontext() as context:
        context.prec = 80
        unit = UNITS[suffix]
        expected = Decimal(number) * Decimal(unit.numerator) / Decimal(unit.denominator)
    assert quantity(number + suffix) == Fraction(expected)


@given(numbers)
def test_decimals_are_written_exactly(number: str) -> None:
    """What is printed reads back as the same number."""
    assert quantity(decimal(quantity(number))) == quantity(number)


@given(written, st.sampled_from(["cpu", "memory", "ephemeral-storage"]))
def test_the_largest_limit_is_allowed_and_leaves_headroom(request: str, resource: str) -> None:
    """At most 1.2 times the request, whole units, and above the request wherever a whole unit fits."""
    limit = quantity(largest_limit(resource, request))
    assert quantity(request) <= limit <= quantity(request) * MAX_RATIO == quantity(bound(request))
    if resource == "cpu":
        assert quantity(request) * MAX_RATIO - limit < Fraction(1, 1000)
    else:
        assert limit.denominator == 1
        assert limit > quantity(request) or quantity(request) * MAX_RATIO < quantity(request) + 1


@given(written, st.sampled_from(["cpu", "memory"]))
def test_the_smallest_request_carries_the_limit(limit: str, resource: str) -> None:
    """And a request of one step less does not."""
    request = smallest_request(resource, limit)
    assert quantity(limit) <= quantity(request) * MAX_RATIO
    suffix = limit.lstrip("0123456789")
    step = Fraction(1, 1000) if resource == "cpu" else UNITS[suffix]
    assert quantity(limit) > (quantity(request) - step) * MAX_RATIO


@pytest.mark.parametrize(
    ("resource", "request_", "exact", "largest"),
    [
        ("memory", "64Gi", "76.8Gi", "76Gi"),
        ("memory", "128Gi", "153.6Gi", "153Gi"),
        ("memory", "192Gi", "230.4Gi", "230Gi"),
        ("memory", "32Gi", "38.4Gi", "38Gi"),
        ("memory", "1Gi", "1.2Gi", "1228Mi"),
        ("memory", "2G", "2.4G", "2400M"),
        ("memory", "1", "1.2", "1"),
        ("cpu", "8", "9.6", "9.6"),
        ("cpu", "500m", "600m", "600m"),
        ("cpu", "0.5", "0.6", "0.6"),
        ("cpu", "333m", "399.6m", "399m"),
    ],
)
def test_largest_limits_as_people_write_them(resource: str, request_: str, exact: str, largest: str) -> None:
    """The figures of the models' table among them."""
    assert bound(request_) == exact
    assert largest_limit(resource, request_) == largest
