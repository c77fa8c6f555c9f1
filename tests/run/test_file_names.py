"""Names of models in the names of files."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from grace_client.analysis import read
from grace_client.cli.campaign.local import _models
from grace_client.cli.run import _default_folder
from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import Manifest
from tests.run.test_runner import ask
from tests.support.deterministic import DeterministicEngine

LONG = "m" * 240
ODD = (
    LONG,
    f"{LONG}a",
    f"org/{LONG}b",
    "é" * 130,
    "模型" * 70,
    "模型一",
    "模型二",
    "llama3:8b",
    "llama3 8b",
    "-rf",
    "--help",
    ".hidden",
    "..",
    "name.",
    "name...",
    "name ",
    "a\nb",
    "a\\b",
    "q?*|<>\"'",
    "org/",
    "",
    "\udcff",
)


@pytest.mark.parametrize(
    "name", ["gemma-2-2b-it", "google/gemma-2-2b-it", "Llama_3.1", "smollm2-135m", "m" * 120]
)
def test_usual_names_stay(name: str) -> None:
    """Letters, digits, dots, dashes and underscores, up to the longest."""
    assert paths.file_name(name) == name.rsplit("/", 1)[-1]


def test_odd_names_are_short_plain_and_never_two_the_same() -> None:
    """Not hidden, not an option, no dot at the end, and another name for every model."""
    made = [paths.file_name(name) for name in ODD]
    for name in made:
        assert 0 < len(name) <= paths.LONGEST_NAME and name.isascii()
        assert not name.startswith((".", "-")) and not name.endswith((".", "-"))
        assert not set(name) & set(' /\\:*?"<>|\n')
        assert paths.file_name(name) == name, "what is a file name already stays"
    assert len({name.lower() for name in made}) == len(ODD), "a disk may not tell capitals apart"


def test_names_that_differ_in_capitals_alone_are_not_mixed(tmp_path: Path) -> None:
    """Where a disk takes both for one folder, the second model is refused."""
    ask(tmp_path / "run", engine=DeterministicEngine(model="Model"), sample=2)
    with pytest.raises(SpecError, match=r'engine.model: "Model" in the folder, "model" now'):
        ask(tmp_path / "run", engine=DeterministicEngine(model="model"), sample=2)


@pytest.mark.parametrize("name", ["n" * 300, "模型" * 150, ".hidden", "--help", f"org/{LONG}"])
def test_a_run_of_a_model_with_any_name_has_its_tables(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the default folder, again after a second export, and the whole name is in them."""
    monkeypatch.chdir(tmp_path)
    where = _default_folder(name, "study1-exp2")
    folder, _ = ask(where, engine=DeterministicEngine(model=name), sample=2)
    written = tables.export(folder)
    assert [path.exists() for path in written] == [True, True, True]
    assert tables.export(RunFolder.open(where)) == written
    frame = read(where)
    assert set(frame["model"]) == {name}
    assert not any(path.name.startswith(".") for path in where.iterdir() if path.name != ".lock")


def test_long_names_with_the_same_beginning_have_their_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tables can lie in one folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    for last in "ab":
        name = LONG + last
        folder, _ = ask(_default_folder(name, "x"), engine=DeterministicEngine(model=name), sample=2)
        for path in tables.export(folder):
            shutil.copy(path, tmp_path / "all")
    assert len(list((tmp_path / "all").iterdir())) == 6


def test_a_run_keeps_the_name_that_its_tables_have(tmp_path: Path) -> None:
    """Also where this version of grace would give them another: no table lies beside its older form."""
    folder, _ = ask(tmp_path / "run", engine=DeterministicEngine(model="llama3:8b"), sample=2)
    before = tables.export(folder)
    for path in before:
        path.rename(path.with_name(path.name.replace(paths.file_name("llama3:8b"), "llama3-8b")))
    results = folder.manifest.results
    results["tables"] = {
        name.replace(paths.file_name("llama3:8b"), "llama3-8b"): value
        for name, value in results["tables"].items()
    }
    folder.manifest.save(tmp_path / "run")
    again = tables.export(RunFolder.open(tmp_path / "run"))
    assert all(path.name.startswith("llama3-8b_study1_") for path in again)
    assert len(list((tmp_path / "run").glob("*.csv"))) == 3, "two tables and the trial list"


def test_a_run_that_was_begun_under_its_model_s_own_name_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command finds the folder that an older grace made."""
    monkeypatch.chdir(tmp_path)
    new = _default_folder("llama3:8b", "study1-exp2")
    assert new.name != "llama3:8b-study1-exp2"
    (tmp_path / "runs" / "llama3:8b-study1-exp2").mkdir(parents=True)
    assert _default_folder("llama3:8b", "study1-exp2") == Path("runs/llama3:8b-study1-exp2")


def test_a_file_with_the_longest_name_is_replaced_whole(tmp_path: Path) -> None:
    """What is written beside it meanwhile needs no longer name."""
    for name in ("x" * 255, "é" * 127):
        with paths.replacing(tmp_path / name) as new:
            new.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"


def test_stems_differ_wherever_names_do(tmp_path: Path) -> None:
    """Study, table and date come after the name, and are never cut."""
    folder, _ = ask(tmp_path / "run", sample=2)
    stems = set()
    for name, table in itertools.product(ODD[:4], ("probabilities", "structured")):
        entries = json.loads(folder.manifest.model_dump_json())
        entries["spec"]["engine"]["model"] = name
        manifest = Manifest.model_validate(entries)
        stems.add(tables.file_stem(manifest, folder.experiment, table))
    assert len(stems) == 8
    assert all(stem.rsplit("_", 2)[1] in ("probabilities", "structured") for stem in stems)
    assert max(len(f"{stem}_long.parquet") for stem in stems) < 200


def test_a_local_campaign_keeps_its_models_apart() -> None:
    """Two that would share a folder are refused; odd names and long ones have folders of their own."""
    with pytest.raises(SpecError, match="a/same and b/same have the same name"):
        _models(["a/same", "b/same"], None)
    long, odd = (known["model"] for known in _models([f"a/{LONG}", "a/x y"], None))
    assert (len(long["name"]), odd["repository"]) == (paths.LONGEST_NAME, "a/x y") and " " not in odd["name"]
