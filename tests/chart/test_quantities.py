"""The arithmetic of the rules, against exact fractions."""

from __future__ import annotations

import json
import random
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.chart.helm import CHART, HELMS, VALUES, RefusedError, render, run

BINARY = {f"{letter}i": Fraction(2 ** (10 * power)) for power, letter in enumerate("KMGTPE", start=1)}
DECIMAL = {letter: Fraction(10 ** (3 * power)) for power, letter in enumerate("kMGTPE", start=1)}
# A failure names its pair; searching for a smaller one would take a rendering for each step.
RANDOM = settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
UNITS = {"": Fraction(1), "m": Fraction(1, 1000), **DECIMAL, **BINARY}

TEMPLATE = """rows:
{{- range .Values.pairs }}
{{- $limit := include "grace.quantity.text" (index . 0) }}
{{- $request := include "grace.quantity.text" (index . 1) }}
- limit: {{ $limit | quote }}
  request: {{ $request | quote }}
  valid: [{{ include "grace.quantity.valid" $limit }}, {{ include "grace.quantity.valid" $request }}]
  above: {{ include "grace.quantity.exceeds" (dict "a" $limit "aBy" 5 "b" $request "bBy" 6) }}
  below: {{ include "grace.quantity.exceeds" (dict "a" $request "aBy" 1 "b" $limit "bBy" 1) }}
  largest: {{ include "grace.quantity.largestLimit" $request | quote }}
{{- end }}
"""


def exact(text: str) -> Fraction:
    """The number that Kubernetes reads."""
    for unit in sorted(UNITS, key=len, reverse=True):
        if unit and text.endswith(unit):
            return Fraction(text.removesuffix(unit)) * UNITS[unit]
    return Fraction(text)


def quantity(draw: random.Random) -> str:
    """A quantity in any notation."""
    whole = draw.randrange(draw.choice([300, 10**14]))
    fraction = draw.choice(["", ".5", f".{draw.randrange(1000):03d}"])
    return f"{whole}{fraction}{draw.choice([*UNITS, 'e3', 'E6', 'e+9', 'e18'])}"


def pair(draw: random.Random) -> tuple[str, str]:
    """A limit and its request; often the limit is at the bound, or a thousandth of a unit beside it."""
    if draw.random() < 0.5:
        return quantity(draw), quantity(draw)
    base, unit = draw.randrange(1, 10**7), draw.choice(list(UNITS))
    limit, request = 6 * base + draw.randint(-1, 1), 5 * base
    text = f"{limit // 1000}.{limit % 1000:03d}{unit}" if unit or draw.random() < 0.5 else f"{limit}m"
    return text, f"{request // 1000}.{request % 1000:03d}{unit}"


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that has nothing but the arithmetic."""
    folder = tmp_path_factory.mktemp("sums")
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: sums\nversion: 1.0.0\n")
    shutil.copy(CHART / "templates" / "_quantity.tpl", folder / "templates")
    (folder / "templates" / "sums.yaml").write_text(TEMPLATE)
    return folder


def calculated(
    chart: Path, drawn: list[tuple[object, object]], helm: str = "helm"
) -> list[dict[str, object]]:
    text = run(helm, "template", "x", chart, "-f", "-", stdin=json.dumps({"pairs": drawn}))
    rows: list[dict[str, object]] = yaml.safe_load(text)["rows"]
    assert len(rows) == len(drawn)
    return rows


@RANDOM
@given(seed=st.integers(0, 2**32))
def test_ratios_are_exact(sums: Path, seed: int) -> None:
    """A thousand pairs: above 1.2, below 1 and the largest limit agree with exact fractions."""
    draw = random.Random(seed)
    drawn = [pair(draw) for _ in range(100)]
    for row, (limit, request) in zip(calculated(sums, list(drawn)), drawn, strict=True):
        assert (row["limit"], row["request"], row["valid"]) == (limit, request, [True, True])
        assert row["above"] is (exact(limit) > Fraction(6, 5) * exact(request)), (limit, request)
        assert row["below"] is (exact(limit) < exact(request)), (limit, request)
        assert exact(str(row["largest"])) == Fraction(6, 5) * exact(request), request


@RANDOM
@given(seed=st.integers(0, 2**32))
def test_numbers_are_as_good_as_text(sums: Path, seed: int) -> None:
    """YAML numbers with up to three decimals, and whole bytes of any memory there is."""
    draw = random.Random(seed)
    numbers: list[tuple[float, float]] = []
    for _ in range(50):
        a, b = draw.randrange(1, 10**6), draw.randrange(1, 10**6)
        numbers += [(a / 1000, b / 1000), (a * 2**25, b * 2**25)]
    for row, (limit, request) in zip(calculated(sums, list(numbers)), numbers, strict=True):
        assert row["valid"] == [True, True]
        assert exact(str(row["limit"])) == Fraction(str(limit))
        assert row["above"] is (Fraction(str(limit)) > Fraction(6, 5) * Fraction(str(request)))


@pytest.mark.parametrize("helm", HELMS)
def test_the_bound_itself(sums: Path, helm: str) -> None:
    """The figures of the cluster's rule, one thousandth on either side, and units against each other."""
    cases = {
        ("76", "64"): False,
        ("77", "64"): True,
        ("76.8Gi", "64Gi"): False,
        ("76.801Gi", "64Gi"): True,
        ("153Gi", "128Gi"): False,
        ("154Gi", "128Gi"): True,
        ("9.6", "8"): False,
        ("9601m", "8"): True,
        ("1200m", "1"): False,
        ("1.2", "1000m"): False,
        ("1.201", "1000m"): True,
        ("2G", "2Gi"): False,
        ("2457Mi", "2Gi"): False,
        ("2458Mi", "2Gi"): True,
        ("1.2e3", "1k"): False,
        ("99999999999999.999E", "83333333333333.332E"): True,
        ("99999999999999.999Ei", "83333333333333.333Ei"): False,
    }
    rows = calculated(sums, list(cases), helm)
    assert {(row["limit"], row["request"]): row["above"] for row in rows} == cases


def test_what_is_no_quantity_is_told_apart(sums: Path) -> None:
    """Four decimals, a sign, an unknown unit, two points."""
    bad = ["1.0001", "-1", "1KB", "1.2.3", "", "1 Gi", "Gi", "0x10", "1e-3", "1e19", "123456789012345"]
    probe = sums.parent / "valid"
    shutil.copytree(sums, probe)
    (probe / "templates" / "sums.yaml").write_text(
        'told:\n{{- range .Values.texts }}\n- {{ include "grace.quantity.valid" . }}\n{{- end }}\n'
    )
    text = run("helm", "template", "x", probe, "-f", "-", stdin=json.dumps({"texts": [*bad, "1.5Gi"]}))
    assert yaml.safe_load(text)["told"] == [False] * len(bad) + [True]


@pytest.mark.parametrize("helm", HELMS)
def test_decimals_by_set_are_as_good_as_in_a_file(helm: str) -> None:
    """Helm makes strings of them; the same figures come out, and the same bounds hold."""
    figures = {
        "model.weightsGiB": "17.5",
        "gpu.memoryUtilization": "0.95",
        "gpu.reserveGiB": "2.5",
        "gpu.memoryGiB": "47.5",
        "queries.maxFailed": "0.02",
        "queries.experiments.study1-exp1.temperature": "0.5",
    }
    by_set = [part for path, figure in figures.items() for part in ("--set", f"{path}={figure}")]
    in_file: dict[str, Any] = {}
    for path, figure in figures.items():
        *groups, name = path.split(".")
        place = in_file
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = float(figure)
    model = VALUES / "gemma-9b.yaml"
    key = {"server": {"apiKey": {"existingSecret": "mine"}}}
    assert render(model, values=key, helm=helm, options=tuple(by_set)) == render(
        model, values={**in_file, **key}, helm=helm
    )
    bounds = ("memoryUtilization=0.981", "memoryUtilization=0.0", "memoryGiB=1000.5", "reserveGiB=-0.5")
    for bound in bounds:
        with pytest.raises(RefusedError, match="does not match pattern"):
            render(model, helm=helm, options=("--set", f"gpu.{bound}"))
