"""Keys that are left empty or filled with another kind of thing: Helm names each of them and refuses.

Helm takes a key that is null out of the values, so that a template would read nothing. A refusal lists every
key that is wrong, so a few renderings try all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, HELMS, VALUES, RefusedError, render
from tests.chart.readme import rows

BASE = VALUES / "gemma-9b.yaml"
TEXT = (CHART / "values.yaml").read_text("utf-8")
DEFAULTS: dict[str, Any] = yaml.safe_load(TEXT)
FILES = sorted(VALUES.rglob("*.yaml"))
RAW = re.compile(
    r"nil pointer|wrong type for value|interface conversion|untyped nil|error converting|evaluating|at <"
)
QUANTITIES = re.compile(r"\.(cpu|memory|ephemeral-storage|size|shmSize)$")

Path_ = tuple[str, ...]


def walk(tree: dict[str, Any], above: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every key and what it has, groups before what is in them."""
    for key, value in tree.items():
        yield (*above, key), value
        if isinstance(value, dict):
            yield from walk(value, (*above, key))


def leaves(tree: dict[str, Any]) -> dict[Path_, Any]:
    """Keys that are no groups."""
    return {path: value for path, value in walk(tree) if not (isinstance(value, dict) and value)}


def groups(tree: dict[str, Any], depth: int) -> list[Path_]:
    return [path for path, value in walk(tree) if isinstance(value, dict) and value and len(path) == depth]


def assigned(values: dict[Path_, Any]) -> dict[str, Any]:
    """A tree with these values."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return tree


def refusal(values: dict[Path_, Any], *files: Path, helm: str = "helm") -> str:
    """What helm says; it must refuse, and not in a template's own words."""
    with pytest.raises(RefusedError) as refused:
        render(*(files or (BASE,)), values=assigned(values), helm=helm)
    said = str(refused.value)
    assert not RAW.search(said), said
    return said


def named(said: str) -> set[str]:
    """Dotted names of the keys that a refusal names."""
    found = set()
    for place, why in re.findall(r"at '([^']*)': (.*)", said):
        here = place.strip("/").replace("/", ".")
        if why.startswith("missing propert"):
            found |= {f"{here}.{name}".lstrip(".") for name in re.findall(r"'([^']+)'", why)}
        else:
            found.add(here)
    return found


def dotted(paths: Iterable[Path_]) -> set[str]:
    return {".".join(path) for path in paths}


@pytest.mark.parametrize("helm", HELMS)
def test_every_key_left_empty_is_refused_by_its_name(helm: str) -> None:
    """Each value, and each group of them at every depth."""
    values = leaves(DEFAULTS)
    assert len(values) > 150
    assert dotted(values) <= named(refusal(dict.fromkeys(values), helm=helm))
    for depth in range(1, 6):
        found = groups(DEFAULTS, depth)
        if found:
            assert dotted(found) <= named(refusal(dict.fromkeys(found), helm=helm))
    assert not groups(DEFAULTS, 6)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_key_of_a_models_and_a_gpus_file_too(file: Path) -> None:
    """What a file gives and a later one empties."""
    tree = yaml.safe_load(file.read_text("utf-8"))
    values = leaves(tree)
    assert dotted(values) <= named(refusal(dict.fromkeys(values), BASE, file))
    tops = [(key,) for key in tree]
    assert dotted(tops) <= named(refusal(dict.fromkeys(tops), BASE, file))


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("path", ["server.kind", "server.port", "queries.resources", "weights.storage.class"])
def test_an_empty_key_of_the_command_line(path: str, helm: str) -> None:
    """`--set KEY=null` alone, each."""
    group, _, key = path.rpartition(".")
    says = f"at '/{group.replace('.', '/')}': missing property '{key}'"
    with pytest.raises(RefusedError, match=re.escape(says)):
        render(BASE, helm=helm, options=("--set", f"{path}=null"))


KINDS: dict[str, Any] = {
    "text": "no such thing",
    "number": 0.5,
    "boolean": True,
    "list": [5],
    "mapping": {"no": {"such": None}},
}


def fits(path: Path_, default: object, kind: str) -> bool:
    """Whether a kind of thing may stand there."""
    own = {str: "text", bool: "boolean", int: "number", float: "number", list: "none", dict: "none"}
    if kind == "number" and QUANTITIES.search("." + ".".join(path)):
        return True
    if kind == "boolean" and path[-1] == "reasoning":
        # YAML reads a bare on and off as true and false.
        return True
    return own[type(default)] == kind


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_key_with_another_kind_of_thing_is_refused_by_its_name(kind: str, helm: str) -> None:
    """A text for a number, a list for a text, a list of numbers for one of texts, a null inside a mapping."""
    wrong = {path: KINDS[kind] for path, default in leaves(DEFAULTS).items() if not fits(path, default, kind)}
    said = named(refusal(wrong, helm=helm))
    missed = {name for name in dotted(wrong) if not any(f"{s}.".startswith(f"{name}.") for s in said)}
    assert not missed
    assert len(wrong) > 100
    if kind == "mapping":
        return
    for depth in range(1, 6):
        found = groups(DEFAULTS, depth)
        if found:
            assert dotted(found) <= named(refusal(dict.fromkeys(found, KINDS[kind]), helm=helm))


def test_an_empty_text_or_list_is_refused_or_means_what_the_table_says() -> None:
    """A key may be empty where that is its default, or where its description says what empty means."""
    described = {path: about or "" for path, _, about in rows(TEXT)}
    empty: dict[Path_, Any] = {
        path: type(default)()
        for path, default in leaves(DEFAULTS).items()
        if isinstance(default, (str, list)) and default
    }
    assert len(empty) > 30
    said = named(refusal(empty))
    free = {path: value for path, value in empty.items() if ".".join(path) not in said}
    silent = []
    for path, value in free.items():
        try:
            render(BASE, values=assigned({path: value}))
        except RefusedError as error:
            assert ".".join(path) in str(error) and not RAW.search(str(error)), error
        else:
            silent.append(".".join(path))
    assert {name for name in silent if "empty:" not in described[name]} == set()
    assert silent


def test_an_empty_group_is_the_default() -> None:
    """`server: {}` takes nothing away."""
    every = [path for depth in range(1, 6) for path in groups(DEFAULTS, depth)]
    own = {"server": {"apiKey": {"existingSecret": "mine"}}}
    plain = render(BASE, values=own)
    deepest = [path for path in every if not any(other[:-1] == path for other in every)]
    for chosen in (deepest, groups(DEFAULTS, 1)):
        values = assigned({path: {} for path in chosen})
        values["server"] = values.get("server", {}) | {"apiKey": {"existingSecret": "mine"}}
        assert render(BASE, values=values) == plain


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"server": {"podSecurityContext": {"runAsUser": None}}}, "server.podSecurityContext.runAsUser"),
        ({"server": {"podSecurityContext": {"sysctls": None}}}, "server.podSecurityContext.sysctls"),
        ({"server": {"podAnnotations": {"a": None}}}, "server.podAnnotations.a"),
        ({"labels": {"a": None}}, "labels.a"),
        ({"server": {"extraArgs": [None]}}, "server.extraArgs.0"),
        ({"server": {"extraArgs": [""]}}, "server.extraArgs.0"),
        ({"server": {"extraEnv": [{"name": "A", "value": None}]}}, "server.extraEnv.0.value"),
        ({"server": {"extraVolumes": [{}]}}, "server.extraVolumes.0.name"),
        ({"networkPolicy": {"extraIngressFrom": [{}]}}, "networkPolicy.extraIngressFrom.0"),
        ({"server": {"extraVolumes": [{"name": "a", "emptyDir": None}]}}, "server.extraVolumes.0.emptyDir"),
        ({"server": {"extraVolumeMounts": [{"name": "a"}]}}, "server.extraVolumeMounts.0.mountPath"),
        ({"server": {"extraEnv": [{"name": "A", "valueFrom": {}}]}}, "server.extraEnv.0.valueFrom"),
        ({"extraObjects": [{}]}, "extraObjects.0.kind"),
        ({"imagePullSecrets": [{"name": None}]}, "imagePullSecrets.0.name"),
        ({"global": None}, "global"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_empty_in_a_list_or_a_mapping_of_ones_own(values: dict[str, Any], name: str) -> None:
    """Helm leaves a null there, and the pod would get it."""
    for helm in HELMS:
        with pytest.raises(RefusedError) as refused:
            render(BASE, values=json.dumps(values), helm=helm)
        assert name in named(str(refused.value)), refused.value
