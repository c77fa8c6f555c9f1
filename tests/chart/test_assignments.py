"""`--set`, `--set-string` and `--set-file` mean to grace what they mean to helm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grace_client.core.errors import SpecError
from grace_client.deploy.values import assigned, document, model_values
from grace_client.kube import helm
from grace_client.kube.helm import Assignments
from tests.chart.helm import HELMS, TOOLS, VALUES, render

BASE = {"a": {"b": 1, "c": [1, 2]}, "list": [{"x": 1}, {"x": 2}], "n": None}

CASES: list[tuple[str, dict[str, Any]]] = [
    ("v=1.10", {"v": "1.10"}),
    ("v=007", {"v": "007"}),
    ("v=8", {"v": 8}),
    ("v=-3", {"v": -3}),
    ("v=1e3", {"v": "1e3"}),
    ("v=true", {"v": True}),
    ("v=on", {"v": "on"}),
    ("v=null", {"v": None}),
    ("a=null", {"a": None}),
    ("a.b=null", {"a": {"b": None, "c": [1, 2]}}),
    ("v=", {"v": ""}),
    ("v=x=y", {"v": "x=y"}),
    ("v={}", {"v": [""]}),
    ("v={1,b,true,1.5}", {"v": [1, "b", True, "1.5"]}),
    (r"v={a\,b,c}", {"v": ["a,b", "c"]}),
    (r"v=a\,b", {"v": "a,b"}),
    ("v=1,w=2", {"v": 1, "w": 2}),
    ("v=1,v=2", {"v": 2}),
    (r"k\.d/e=1,k\.f=2", {"k.d/e": 1, "k.f": 2}),
    ("a.c[1]=9", {"a": {"b": 1, "c": [1, 9]}}),
    ("list[1].x=3", {"list": [{"x": 1}, {"x": 3}]}),
    ("list[0].y.z={q}", {"list": [{"x": 1, "y": {"z": ["q"]}}, {"x": 2}]}),
    ("v[1]=x", {"v": [None, "x"]}),
    ("v[0][0]=x", {"v": [["x"]]}),
    ("v= padded ", {"v": " padded "}),
    ("v=<&>\u00e9", {"v": "<&>\u00e9"}),
]


@pytest.fixture(params=HELMS)
def either_helm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of helm that grace runs."""
    helm._assigned.cache_clear()
    monkeypatch.setattr(helm, "program", lambda: str(TOOLS / request.param))
    return str(request.param)


@pytest.mark.usefixtures("either_helm")
def test_single_values() -> None:
    """A table of what may be written, over a document with a list and a null."""
    read = {text: helm.assign(BASE, Assignments((text,))) for text, _ in CASES}
    assert read == {text: BASE | found for text, found in CASES}


@pytest.mark.usefixtures("either_helm")
def test_text_and_files_win_in_helms_order(tmp_path: Path) -> None:
    """`--set` first, then `--set-string`, then `--set-file`, however they stand on the command line."""
    (tmp_path / "a,b.txt").write_bytes(b"1,2\r\n")
    given = Assignments.of(["v=1", "w=1", "x=1"], ["w=007,x=1"], [f"x={tmp_path}/a,b.txt"])
    assert helm.assign({}, given) == {"v": 1, "w": "007", "x": "1,2\r\n"}


@pytest.mark.usefixtures("either_helm")
@pytest.mark.parametrize("wrong", ["v", "a.b", "v[x]=1", "a.b.c=1,d"])
def test_what_helm_refuses(wrong: str) -> None:
    """With helm's own words."""
    with pytest.raises(SpecError, match="--set data"):
        helm.assign({}, Assignments((wrong,)))


def test_the_chart_renders_the_same(either_helm: str, tmp_path: Path) -> None:
    """The values that grace computes for a campaign or a transfer, and helm's own options."""
    file = VALUES / "gemma-9b.yaml"
    (tmp_path / "list.csv").write_text("a,b\n")
    words = ["queries.image.tag=1.10,queries.maxFailed=0.5", "server.extraArgs={--seed=1}"]
    words += ["queries.experiments.study1-exp2.extraArgs[0]=--quiet", "server.image.digest="]
    given = Assignments.of(words, ["queries.runId=007"], [f"queries.trials.study1={tmp_path}/list.csv"])
    options = tuple(given.options(tmp_path))
    values = json.dumps(document(assigned(model_values(file), {}, given), {}))
    direct = render(file, helm=either_helm, options=options)
    assert "1.10" in json.dumps(direct)
    assert direct == render(helm=either_helm, release=file.stem, values=values)
