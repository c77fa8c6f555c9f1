"""A run folder in which a file has changed gives the same numbers, or the file's name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from grace_client.analysis import read
from grace_client.cli.run import _tables
from grace_client.core.errors import GraceError, RecordError, SpecError
from grace_client.extraction import answers
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import Extraction, SamplingSpec
from tests.conftest import ROOT, grace, own_list
from tests.run.test_runner import ask
from tests.support.deterministic import DeterministicEngine

FLIPS = 4
"""Per file: one in each of as many equal parts."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scored run and a free-text run, with all their tables."""
    parent = tmp_path_factory.mktemp("whole")
    scored, _ = ask(parent / "scored", sample=2)
    tables.export(scored)
    free, _ = ask(parent / "free", "study1-exp1", sample=2, sampling=SamplingSpec(replicates=2))
    tables.export(free)
    found = answers.by_rules(free)
    answers.write(free, found, Extraction(questions=answers.summary(found)))
    return {"scored": scored.path, "free": free.path}


def flipped(raw: bytes, seed: int) -> Iterator[bytes]:
    """The bytes with one bit changed, with one byte lost, and cut off."""
    rng = random.Random(seed)
    part = max(1, len(raw) // FLIPS)
    for start in range(0, len(raw) - part + 1, part):
        place = rng.randrange(start, start + part)
        yield raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]
    place = rng.randrange(len(raw))
    yield raw[:place] + raw[place + 1 :]
    yield raw[: len(raw) // 2]
    last = raw.rstrip(b"\n")
    yield last[: last.rfind(b"\n") + 1] or b""


def tables_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.glob("*_study*")}


def names_it(error: GraceError, changed: Path) -> bool:
    return changed.name in str(error) or (changed.parent.name == "ledger" and "ledger" in str(error))


@pytest.mark.parametrize("kind", ["scored", "free"])
def test_every_command_gives_the_same_numbers_or_names_the_file(
    kind: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    """Reading, exporting, extracting and status, for changes in every file."""
    run = whole[kind]
    frame, before = read(run), tables_of(run)
    held = RunFolder.open(run).progress()
    refused = 0
    for number, file in enumerate(sorted(path for path in run.rglob("*") if path.is_file())):
        if file.name == ".lock":
            continue
        for change, raw in enumerate(flipped(file.read_bytes(), number)):
            copy = tmp_path / f"{number}-{change}"
            shutil.copytree(run, copy)
            changed = copy / file.relative_to(run)
            changed.write_bytes(raw)
            refused += _reads_the_same(copy, changed, frame)
            refused += _exports_the_same(copy, changed, before, held.done)
            shutil.rmtree(copy)
    assert refused > 25, "most changes matter to something"


def _reads_the_same(copy: Path, changed: Path, frame: pd.DataFrame) -> bool:
    try:
        found = read(copy)
    except GraceError as error:
        assert names_it(error, changed), error
        return True
    pd.testing.assert_frame_equal(found, frame)
    return False


def _exports_the_same(copy: Path, changed: Path, before: dict[str, bytes], done: int) -> bool:
    there = tables_of(copy)
    try:
        folder = RunFolder.open(copy)
        if folder.progress().done != done:
            assert folder.ledger.contents.damage or changed.parent.name == "ledger"
        if not folder.experiment.scored:
            found = answers.by_rules(folder)
            answers.write(folder, found, Extraction(questions=answers.summary(found)))
        tables.export(folder)
    except GraceError as error:
        assert names_it(error, changed), error
        assert tables_of(copy) == there, "nothing was written"
        return True
    assert tables_of(copy) == before
    return False


def damage(run: Path, lines: int = 1) -> Path:
    """Change a bit in some lines of a run's record."""
    (segment,) = (run / "ledger").glob("*.jsonl")
    raw = segment.read_bytes().split(b"\n")
    for place in range(2, 2 + lines):
        raw[place] = raw[place].replace(b'"ok"', b'"oK"')
    segment.write_bytes(b"\n".join(raw))
    return segment


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, Path]:
    """A run with tables, a line of whose record has changed since."""
    folder, _ = ask(tmp_path / "run", sample=3)
    tables.export(folder)
    return folder.path, damage(folder.path)


def test_the_old_tables_stay_and_every_command_tells(
    damaged: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Export and explain refuse, status and verify tell, each with the line of the record."""
    run, segment = damaged
    before = tables_of(run)
    assert grace(monkeypatch, "export", str(run)) == 2
    error = capsys.readouterr().err
    assert f"ledger/{segment.name}:3" in error and "'grace run'" in error
    assert tables_of(run) == before
    assert grace(monkeypatch, "status", str(run)) == 0
    assert "1 lines of the record are corrupt" in (shown := capsys.readouterr().out)
    assert f"{segment.name}:3" in shown
    assert grace(monkeypatch, "verify", str(run)) == 1
    assert f"{segment.name}:3: " in capsys.readouterr().out
    refused = [
        grace(monkeypatch, "explain", str(run), "--trial", str(trial.trial_id))
        for trial in RunFolder.open(run).plan.trials
    ]
    assert 2 in refused, "the trial whose answer was lost, and no trial that has all of its answers"
    assert f"ledger/{segment.name}:3" in capsys.readouterr().err


def test_a_run_that_is_asked_again_is_whole(damaged: tuple[Path, Path]) -> None:
    """The damaged line stays where it is and does no harm; the tables are those from before."""
    run, _ = damaged
    before = tables_of(run)
    again = DeterministicEngine()
    folder, progress = ask(run, engine=again, sample=3)
    assert len(again.asked) == 1 and progress.done == progress.total
    tables.export(folder)
    assert tables_of(run) == before


def test_a_stop_before_the_record_is_whole_again_keeps_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`grace run` says so instead of failing, and the next one completes them."""
    folder, _ = ask(tmp_path / "run", sample=20)
    tables.export(folder)
    before = tables_of(folder.path)
    damage(folder.path, 30)
    folder, progress = ask(tmp_path / "run", sample=20, stop_after=1)
    assert progress.done < progress.total
    assert _tables(folder)[0].name in before
    assert "The tables were not changed" in capsys.readouterr().err
    assert tables_of(folder.path) == before
    folder, _ = ask(tmp_path / "run", sample=20)
    tables.export(folder)
    assert tables_of(folder.path) == before


def test_a_lost_segment_is_lost_answers(tmp_path: Path) -> None:
    """Also where the table that would tell which answers there were is gone too."""
    ask(tmp_path / "run", sample=20, stop_after=10)
    folder, _ = ask(tmp_path / "run", sample=20)
    tables.export(folder)
    folder.ledger.segments[0].unlink()
    with pytest.raises(RecordError, match="ledger/"):
        tables.export(RunFolder.open(folder.path))
    next(folder.path.glob("*.parquet")).unlink()
    with pytest.raises(RecordError, match="no longer in its record"):
        tables.export(RunFolder.open(folder.path))


def test_more_answers_than_before_are_no_damage(tmp_path: Path) -> None:
    """A run that was exported half way is exported again with what came since."""
    folder, _ = ask(tmp_path / "run", sample=20, stop_after=10)
    tables.export(folder)
    half = tables_of(folder.path)
    folder, _ = ask(tmp_path / "run", sample=20, stop_after=10)
    tables.export(folder)
    assert tables_of(folder.path) != half


def test_another_trial_list_is_refused(whole: dict[str, Path], tmp_path: Path) -> None:
    """The run's own copy that has changed, one that was named, and one that is gone."""
    run = tmp_path / "run"
    shutil.copytree(whole["scored"], run)
    with pytest.raises(SpecError, match=r"study1.csv has changed since the run began|no trial of"):
        read(run, trials=_other(tmp_path))
    copy = run / "trials.csv"
    copy.write_bytes(copy.read_bytes().replace(b"parcels", b"barrels"))
    with pytest.raises(SpecError, match=r"trials.csv has changed since the run began: its checksum"):
        read(run)
    copy.unlink()
    with pytest.raises(SpecError, match=r"its folder has no trials.csv"):
        read(run)
    with pytest.raises(SpecError, match=r"trials.csv is missing. Restore it from .*data/study1.csv"):
        RunFolder.open(run)


def _other(folder: Path) -> Path:
    path = folder / "study1.csv"
    path.write_bytes((ROOT / "data" / "study1.csv").read_bytes().replace(b"parcels", b"barrels"))
    return path


def test_a_manifest_that_was_changed_on_purpose_says_how(whole: dict[str, Path], tmp_path: Path) -> None:
    """Refused with its checksum, read without it, as one of an older version is; the layout is free."""
    run = tmp_path / "run"
    shutil.copytree(whole["scored"], run)
    entries = json.loads((run / "manifest.json").read_text())
    assert list(entries)[-1] == "sha256"
    (run / "manifest.json").write_text(json.dumps(entries))
    assert RunFolder.open(run).manifest.model == "deterministic"
    entries["spec"]["engine"]["revision"] = "2"
    (run / "manifest.json").write_text(json.dumps(entries))
    for command in (read, RunFolder.open):
        with pytest.raises(
            SpecError, match=r"manifest.json has changed since .* remove its last entry, 'sha256'"
        ):
            command(run)
    del entries["sha256"]
    (run / "manifest.json").write_text(json.dumps(entries))
    assert len(read(run)) == len(read(whole["scored"]))
    (run / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(SpecError, match=r"manifest.json cannot be read"):
        RunFolder.open(run)


def test_a_run_without_a_study_file_gets_one(whole: dict[str, Path], tmp_path: Path) -> None:
    """An earlier grace kept none: the next export, or the next run, keeps it, with the same tables."""
    asyncio.run(_without_study_files(whole["scored"], tmp_path))


async def _without_study_files(run: Path, parent: Path) -> None:
    engine = DeterministicEngine()
    for name in ("exported", "continued"):
        path = parent / name
        shutil.copytree(run, path)
        wanted = (path / "study.yaml").read_bytes()
        (path / "study.yaml").unlink()
        entries = json.loads((path / "manifest.json").read_text())
        del entries["study"], entries["sha256"]
        (path / "manifest.json").write_text(json.dumps(entries))
        folder = RunFolder.open(path)
        assert not folder.manifest.study
        if name == "exported":
            tables.export(folder)
        else:
            RunFolder.create(path, folder.experiment, own_list("study1"), await engine.describe(), sample=2)
        assert (path / "study.yaml").read_bytes() == wanted
        again = RunFolder.open(path)
        assert again.manifest.study == {"study.yaml": hashlib.sha256(wanted).hexdigest()}
        assert tables.export(again)[0].read_bytes() == next(run.glob("*_20??????.csv")).read_bytes()
