"""One place knows what a run folder holds; the places that must repeat it agree with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grace_client import studies
from grace_client.run import layout, verify
from grace_client.studies.declaration import Experiment
from grace_client.transfer import reader


def test_the_pods_program_knows_the_manifest_by_its_name() -> None:
    """It imports the standard library alone."""
    assert reader.MANIFEST == layout.MANIFEST


def test_bets_are_on_the_states_of_study_1() -> None:
    """A column for each."""
    states = studies.experiment("study1-exp2").study.file.experiments["exp2"].ask[0].each["state"]
    assert tuple(f"bet_{state}" for state in states) == layout.BETS


@pytest.mark.parametrize("experiment", studies.experiments().values(), ids=lambda experiment: experiment.name)
def test_names_of_tables_are_read_as_they_are_written(experiment: Experiment) -> None:
    """Model, study and table, also where the model's name has characters that file names have not."""
    study, created = experiment.schema.study, "2026-03-04T05:06:07+00:00"
    stem = layout.stem("org/made_up model", study, experiment.table, created)
    match = layout.TABLE_NAME.fullmatch(stem)
    assert match is not None
    assert (match["study"], match["table"]) == (study, experiment.table)
    assert layout.stem("renamed", study, experiment.table, created, [f"{stem}.csv"]) == stem
    assert experiment.scored or experiment.table == layout.FREE_TABLE
    for end in (layout.LONG_CSV, layout.LONG_PARQUET, ".csv"):
        assert layout.stem_of(stem + end) == stem


def test_a_run_is_whole_where_every_file_is_the_manifests(tmp_path: Path) -> None:
    """Tables, ledger and the manifest itself."""
    assert not verify.check(tmp_path).whole
    (tmp_path / layout.LEDGER).mkdir()
    segment, table = tmp_path / layout.LEDGER / "1.jsonl", tmp_path / "m_study1_probabilities_20260101.csv"
    segment.write_text("{}\n")
    table.write_text("a\n1\n")
    results = {"tables": {table.name: verify.sha256([table])}, "ledger_sha256": verify.sha256([segment])}
    entries = {"results": results}
    manifest = tmp_path / layout.MANIFEST
    manifest.write_text(json.dumps(entries | {verify.CHECKSUM: verify.checksum(entries)}))
    assert verify.check(tmp_path) == verify.Check(whole=True)
    assert verify.check(tmp_path, []) == verify.Check(
        False, verify.check(tmp_path, []).faults, stale=(segment,)
    )
    table.write_text("a\n2\n")
    assert verify.changed_tables(tmp_path, results) == [table.name]
    assert not verify.check(tmp_path).whole
    table.unlink()
    assert verify.changed_tables(tmp_path, results) == [table.name]
    assert [str(table) in fault for fault in verify.check(tmp_path).faults] == [True]
    manifest.write_text(manifest.read_text().replace(table.name, "other.csv"))
    (fault,) = verify.check(tmp_path).faults
    assert str(manifest) in fault
