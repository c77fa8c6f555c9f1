"""Values that must be refused: one file each, over values/gemma-9b.yaml.

A file says in comments the sentence that it is refused with, what lies just within the bound and must render
(`allowed`, merged over it, or `instead`, in its place), and further options of helm. By hand:
`helm template x charts/grace -n lab -f values/gemma-9b.yaml -f tests/chart/invalid/….yaml`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import HELMS, NAMESPACE, VALUES, RefusedError, render

BASE = VALUES / "gemma-9b.yaml"
CASES = sorted(Path(__file__).parent.joinpath("invalid").glob("*.yaml"))


def told(case: Path) -> dict[str, str]:
    """The comments at the top: refused, allowed or instead, options."""
    lines = (line[2:] for line in case.read_text().splitlines() if line.startswith("# "))
    return {name: text for name, _, text in (line.partition(": ") for line in lines)}


def options(text: str) -> dict[str, object]:
    """Options of helm, as `render` takes them."""
    words = text.split()
    named: dict[str, object] = {}
    if "--kube-version" in words:
        named["kube"] = words[words.index("--kube-version") + 1]
    if "--namespace" in words:
        named["namespace"] = words[words.index("--namespace") + 1]
    if "--skip-schema-validation" in words:
        named["options"] = ("--skip-schema-validation",)
    return named


BOUND = [case for case in CASES if {"allowed", "instead"} & told(case).keys()]


def test_there_are_enough() -> None:
    """Every rule has cases, and nearly all are bound from the other side, too."""
    assert len(CASES) >= 40
    assert [case.stem for case in CASES if case not in BOUND] == ["namespace-default"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_refused_with_its_sentence(case: Path) -> None:
    """By both Helms."""
    says = told(case)
    for helm in HELMS:
        with pytest.raises(RefusedError) as refused:
            render(BASE, case, helm=helm, **options(says.get("options", "")))
        assert says["refused"] in str(refused.value)


@pytest.mark.parametrize("case", BOUND, ids=lambda case: case.stem)
def test_the_other_side_of_the_bound_renders(case: Path) -> None:
    """The smallest change that makes it valid."""
    says = told(case)
    files = (BASE, case) if "allowed" in says else (BASE,)
    values = json.dumps(yaml.safe_load(says.get("allowed") or says["instead"]))
    assert render(*files, values=values, **options(says.get("options", "")))


def test_every_violation_is_named_at_once() -> None:
    """Nobody mends one value to be told of the next."""
    with pytest.raises(RefusedError) as refused:
        render(
            BASE,
            values={
                "gpu": {"count": 3},
                "server": {"tensorParallelSize": 2, "image": {"tag": "latest"}},
                "weights": {"token": {"existingSecret": ""}},
            },
            namespace="default",
        )
    sentences = [line for line in str(refused.value).splitlines() if line.startswith("  ")]
    assert len(sentences) == 5


def test_a_list_too_large_for_a_configmap(tmp_path: Path) -> None:
    """A million bytes fit, one more does not, and the sentence says what to do."""
    for size, fits in ((1_000_000, True), (1_000_001, False)):
        text = tmp_path / f"{size}.csv"
        text.write_text("x" * size)
        set_file = ("--set-file", f"queries.trials.study1={text}")
        if fits:
            assert render(BASE, options=set_file)
        else:
            with pytest.raises(RefusedError, match="1000001 bytes: a ConfigMap can have at most 1000000"):
                render(BASE, options=set_file)


def test_the_namespace_that_is_not_default() -> None:
    """The same values elsewhere."""
    assert NAMESPACE != "default"
    assert render(BASE)
