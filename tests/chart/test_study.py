"""A release asks a study that its image has never seen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grace_client import studies
from tests.chart.helm import (
    HELMS,
    NEWEST,
    VALUES,
    Object,
    RefusedError,
    args,
    containers,
    of,
    one,
    pods,
    render,
    validate,
)
from tests.conftest import ROOT
from tests.support import own_study
from tests.support.own_study import EXPERIMENTS, NAME, SET_FILES, TEXT

MODEL = VALUES / "gemma-9b.yaml"
OPTIONS = tuple(word for assigned in SET_FILES for word in ("--set-file", assigned))
WORKED = sorted((ROOT / "studies").glob("*/*.yaml"))


def clients(objects: list[Object]) -> dict[str, Object]:
    """The containers that ask, by the whole name of their experiment."""
    found = [c for _, pod in pods(objects) for c in containers(pod) if c.get("args", [""])[0] == "run"]
    return {c["args"][1].rpartition(":")[2]: c for c in found}


def mounted(pod: Object, objects: list[Object], container: Object) -> dict[str, str]:
    """What a container finds under its mounts of ConfigMaps, by path."""
    maps = {o["metadata"]["name"]: o["data"] for o in of(objects, "ConfigMap")}
    volumes = {v["name"]: v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v}
    return {
        f"{mount['mountPath']}/{name}": text
        for mount in container["volumeMounts"]
        if mount["name"] in volumes
        for name, text in maps[volumes[mount["name"]]].items()
    }


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_study_file_is_all_that_it_needs(kind: str, helm: str) -> None:
    """Its experiments are asked and no others, with its list; the files are those given, byte for byte."""
    for version in ("1.29", NEWEST):
        objects = render(MODEL, options=OPTIONS, values={"server": {"kind": kind}}, helm=helm, kube=version)
        for o in objects:
            validate(o, version)
    assert set(clients(objects)) == set(EXPERIMENTS)
    for _, pod in pods(objects):
        for container in containers(pod):
            if container not in clients(objects).values():
                continue
            files = mounted(pod, objects, container)
            path, _, name = container["args"][1].rpartition(":")
            assert files[path] == TEXT
            assert files["/study/solved.csv"] == own_study.EXAMPLES.read_text()
            assert files[args(container)["trials"]] == own_study.TRIALS.read_text()
            assert args(container)["out"] == f"/output/{name}/gemma-9b/gemma-9b"
            # What the study says is not said again.
            assert not {"temperature", "replicates", "max-tokens", "seed"} & args(container).keys()
    labels = {o["metadata"]["labels"].get("grace/experiment") for o in of(objects, "Job", "query")}
    assert labels == (set(EXPERIMENTS) if kind == "Deployment" else set())


def test_settings_win_over_the_study() -> None:
    """One experiment off, another in pods of its own; the rest stays as the study says."""
    said, main, null = "some-reds-said", "some-reds-main", "some-reds-null"
    own: dict[str, Any] = {
        said: {"replicates": 3, "indexed": True, "temperature": 0},
        main: {"sample": 2},
        null: {"enabled": False},
    }
    objects = render(MODEL, options=OPTIONS, values={"queries": {"experiments": own}})
    asked = clients(objects)
    assert set(asked) == {said, main}
    assert args(asked[main])["sample"] == "2"
    given = args(asked[said])
    assert (given["temperature"], given["seed"]) == ("0", "0$(JOB_COMPLETION_INDEX)")
    assert given["out"].endswith("/replicate-$(JOB_COMPLETION_INDEX)")


def test_another_study_is_another_job(tmp_path: Path) -> None:
    """A Job cannot be changed: a comment in the study file or a new example gives it a new name."""
    before = {o["metadata"]["name"] for o in of(render(MODEL, options=OPTIONS), "Job", "query")}
    for change in ({"study": TEXT + "# v2\n"}, {"studyFiles": {"solved.csv": "scene,quantifier,answer\n"}}):
        changed = render(MODEL, values={"queries": own_study.VALUES | change})
        assert not before & {o["metadata"]["name"] for o in of(changed, "Job", "query")}


@pytest.mark.parametrize("helm", HELMS)
def test_a_study_on_the_input_claim(helm: str) -> None:
    """Its experiments are those that the values name; a list beside it needs no value."""
    queries = {"studyFromInput": f"mine/{NAME}.yaml", "experiments": {"some-reds-main": {"sample": 1}}}
    objects = render(MODEL, values={"queries": queries}, helm=helm)
    (client,) = clients(objects).values()
    assert client["args"][1] == "/input/mine/some-reds.yaml:some-reds-main"
    assert "trials" not in args(client)
    assert {"name": "input", "mountPath": "/input", "readOnly": True} in client["volumeMounts"]
    assert "study" not in {mount["name"] for mount in client["volumeMounts"]}
    lists = {"fromInput": {NAME: "lists/a.csv"}}
    (client,) = clients(render(MODEL, values={"queries": queries | {"trials": lists}}, helm=helm)).values()
    assert args(client)["trials"] == "/input/lists/a.csv"


def test_a_study_of_the_image_uses_its_own_list() -> None:
    """Such as one that a package brings: an entry is enough, and a list may be given."""
    queries: dict[str, Any] = {"experiments": {"my-study-exp1": {}}}
    client = clients(render(MODEL, values={"queries": queries}))["my-study-exp1"]
    assert client["args"][1] == "my-study-exp1" and "trials" not in args(client)
    queries["trials"] = {"my-study": "a\n1\n"}
    client = clients(render(MODEL, values={"queries": queries}))["my-study-exp1"]
    assert args(client)["trials"] == "/trials/my-study.csv"


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_longest_names_fit(kind: str, helm: str) -> None:
    """A study's name has up to 40 characters, a model's 24; Kubernetes takes 63 in names and labels."""
    study, experiments = "s" * 40, ["e" * 22, "e" * 21 + "f"]
    text = TEXT.replace(f"study: {NAME}", f"study: {study}")
    for old, new in zip(("main", "said"), experiments, strict=True):
        text = text.replace(f"\n  {old}:", f"\n  {new}:")
    values = {
        "model": {"name": "m" * 24},
        "server": {"kind": kind},
        "queries": own_study.VALUES | {"study": text, "trials": {study: own_study.TRIALS.read_text()}},
    }
    if kind == "Deployment":
        whole = f"{study}-{experiments[1]}"
        values["queries"]["experiments"] = {whole: {"indexed": True, "replicates": 10}}
    objects = render(MODEL, values=values, helm=helm)
    assert {f"{study}-{one}" for one in (*experiments, "null")} == set(clients(objects))
    names = [o["metadata"]["name"] for o in of(objects, "Job")]
    assert len(set(names)) == len(names)
    for o in objects:
        labels = o["metadata"].get("labels", {}).values()
        # The pod of a replicate is named after its Job and its index.
        assert max(len(o["metadata"]["name"]) + 2 * (o["kind"] == "Job"), *map(len, labels)) <= 63
        validate(o, NEWEST)
    for _, pod in pods(objects):
        assert all(len(c["name"]) <= 63 for c in containers(pod))
    text = text.replace(f"\n  {experiments[0]}:", f"\n  {experiments[0]}x:")
    values["queries"] |= {"study": text, "experiments": {}}
    with pytest.raises(
        RefusedError, match=r"has 64 characters, and a label in Kubernetes has at most 63; shorten"
    ):
        render(MODEL, values=values, helm=helm)


def test_a_study_too_large_for_a_configmap() -> None:
    """A million bytes with its files fit, one more does not, and the sentence says what to do."""
    room = 1_000_000 - len(TEXT.encode()) - 100
    queries = own_study.VALUES | {"study": TEXT + "#" * room, "studyFiles": {"solved.csv": "x" * 100}}
    assert render(MODEL, values={"queries": queries})
    queries |= {"studyFiles": {"solved.csv": "x" * 101}}
    with pytest.raises(RefusedError, match=r"1000001 bytes: a ConfigMap can have at most .*studyFromInput"):
        render(MODEL, values={"queries": queries})


SHORT = "{grace: 1, study: third, trials: {make: {}}, experiments: {main: {}}}"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a path": ({"study": "FILE.yaml"}, "queries.study is not the text of a study file"),
    "not YAML": ({"study": "a: [b\nstudy: c"}, "queries.study is not the text of a study file"),
    "name": ({"study": "study: Third"}, 'queries.study has the name "Third"'),
    "no name": ({"study": "title: x"}, "a study's name has small letters"),
    "long name": ({"study": SHORT.replace("third", "t" * 41)}, "at most 40 characters"),
    "no experiment": ({"study": "study: third"}, "queries.study has no experiments"),
    "a list of them": ({"study": "study: third\nexperiments: [a]"}, "queries.study has no experiments"),
    "experiment": ({"study": SHORT.replace("main", "Main")}, "queries.study has the experiment third-Main"),
    "two": ({"study": SHORT, "studyFromInput": "third.yaml"}, "are both set: keep one"),
    "no list": (
        {"study": SHORT.replace("make: {}", "")},
        "no trial list of its own: give one with --set-file",
    ),
    "a list beside": (
        {"study": SHORT.replace("make: {}", "file: list.csv")},
        "give it with --set-file queries.trials.third=list.csv",
    ),
    "examples": (
        {"study": SHORT.replace("main: {}", "main: {ask: [{examples: {file: a.csv}}]}")},
        r"give it with --set-file 'queries.studyFiles.a\.csv=a.csv'",
    ),
    "same name": ({"study": SHORT, "studyFiles": {"third.yaml": "a"}}, "the study file has this name"),
    "files alone": ({"studyFiles": {"a.csv": "a"}}, "queries.studyFiles is set"),
    "typing": (
        {"study": SHORT, "experiments": {"third-mian": {"sample": 1}}},
        "queries.experiments.third-mian is no experiment of the study third: it has third-main",
    ),
    "another study": (
        {"study": SHORT, "experiments": {"fourth-main": {"sample": 1}}},
        "queries.experiments.fourth-main is no experiment of the study third",
    ),
    "another list": (
        {"study": SHORT, "trials": {"study1": "a"}},
        "queries.trials.study1 is set: this release asks the study third; name its list queries.trials.third",
    ),
    "a list of nobody": (
        {"trials": {"fromInput": {"third": "a.csv"}}},
        "queries.trials.fromInput.third is set: queries.experiments has no experiment of a study third",
    ),
    "nothing named": (
        {"studyFromInput": "third.yaml"},
        "name the experiments of third in queries.experiments",
    ),
    "outside": ({"studyFromInput": "../third.yaml"}, "at '/queries/studyFromInput'"),
    "no YAML file": ({"studyFromInput": "third.csv"}, "at '/queries/studyFromInput'"),
    "short name": ({"experiments": {"main": {}}}, "additional properties 'main' not allowed"),
    "replicates": (
        {"study": SHORT, "experiments": {"third-main": {"indexed": True}}},
        "an Indexed Job needs the number of replicates",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_study_lacks_is_named(case: str) -> None:
    """In a sentence of the chart, on both Helms, without a template's own words."""
    queries, says = REFUSED[case]
    for helm in HELMS:
        with pytest.raises(RefusedError, match=re.escape(says)) as refused:
            render(MODEL, values={"queries": queries}, helm=helm)
        assert not re.search(r"nil pointer|wrong type|error calling", str(refused.value))


def test_the_smallest_study_renders() -> None:
    """What every refused case is a change of."""
    assert set(clients(render(MODEL, values={"queries": {"study": SHORT}}))) == {"third-main"}


@pytest.mark.parametrize("file", WORKED, ids=lambda file: file.stem)
def test_the_worked_studies_are_releases(file: Path) -> None:
    """Each with its list and nothing else, asking what grace finds in the file."""
    trials = file.with_name(yaml.load(file.read_text(), yaml.BaseLoader)["trials"]["file"])
    options = ("--set-file", f"queries.study={file}", "--set-file", f"queries.trials.{file.stem}={trials}")
    objects = render(MODEL, options=options)
    assert set(clients(objects)) == set(studies.find(str(file)).experiments)


def test_a_copy_of_a_shipped_study_is_a_study_file() -> None:
    """With its own settings in the values, such as those that are off."""
    text = (Path(studies.__file__).parent / "study1.yaml").read_text()
    objects = render(MODEL, values={"queries": {"study": text}})
    assert set(clients(objects)) == {"study1-exp1", "study1-exp2"}
    assert {c["args"][1].partition(":")[0] for c in clients(objects).values()} == {"/study/study1.yaml"}
    assert one(objects, "ConfigMap", "query")["data"] == {"study1.yaml": text}
