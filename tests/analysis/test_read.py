"""Reading runs: every form of a table gives the same frame, and what is wrong is named."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import studies
from grace_client.analysis import contents, manifests, quality, read, study1, study2
from grace_client.core.errors import SpecError, TrialError
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import SamplingSpec
from grace_client.run.runner import run
from tests.conftest import ROOT, own_list
from tests.support.deterministic import DeterministicEngine, nan_for

HEAD = ["model", "experiment", "trial_id", "participant", "item", "stimulus"]
SCORES = ["question", "option", "logprob", "prob_raw", "prob_norm", "option_mass", "status", "reason"]


def make(path: Path, experiment: str, engine: DeterministicEngine | None = None, sample: int | None = 12) -> Path:
    """A run of a few trials with its tables."""
    engine = engine or DeterministicEngine()

    async def work() -> None:
        found = studies.experiment(experiment)
        listed = own_list(found.schema.study)
        sampling = SamplingSpec(replicates=2)
        folder = RunFolder.create(
            path, found, listed, await engine.describe(), sample=sample, sampling=sampling
        )
        await run(folder, engine)

    asyncio.run(work())
    tables.export(RunFolder.open(path))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: both studies, free text and scored."""
    parent = tmp_path_factory.mktemp("runs")
    for experiment in studies.ALL:
        make(parent / experiment, experiment)
    return parent


def copied(runs: Path, experiment: str, into: Path) -> Path:
    shutil.copytree(runs / experiment, into)
    return into


def long_csv(folder: Path) -> Path:
    return next(folder.glob("*_long.csv"))


def wide_csv(folder: Path) -> Path:
    return long_csv(folder).with_name(long_csv(folder).name.replace("_long", ""))


def alone(folder: Path, into: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The long table of a run, changed, outside its folder but with its trial list."""
    into.mkdir(exist_ok=True)
    table = pd.read_csv(long_csv(folder), keep_default_na=False, dtype=str)
    path = into / long_csv(folder).name
    change(table).to_csv(path, index=False)
    shutil.copy(folder / "trials.csv", into)
    return path


def structured(folder: Path, values: Callable[[pd.DataFrame], list[str]]) -> Path:
    """A structured table beside a run's free text, as extraction writes it."""
    wide = pd.read_csv(wide_csv(folder), keep_default_na=False, dtype=str)
    path = folder / wide_csv(folder).name.replace("_raw_responses_", "_structured_")
    added = {"structured": values(wide), "category": "answer", "method": "rule", "confidence": "high"}
    wide = wide.drop(columns=["reasoning", "finish_reason"]).assign(**added, span_start="0", span_end="1")
    wide.assign(**{f"bet_{s}": "" for s in range(4)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("experiment", studies.ALL)
def test_a_run_is_one_tidy_frame(runs: Path, experiment: str) -> None:
    """The frame has head, design and answers, and `manifests` takes the same source."""
    frame = read(runs / experiment)
    scored = experiment.endswith("exp2")
    factors = ["access", "observe"] if experiment.startswith("study1") else ["goal", "state"]
    free = [*SCORES[:1], "replicate", "seed", "response", "reasoning", "finish_reason", *SCORES[-2:]]
    assert list(frame.columns) == [*HEAD, *factors, *(SCORES if scored else free)]
    assert frame["trial_id"].nunique() == 12 and set(frame["experiment"]) == {experiment}
    assert [m.spec.experiment for m in manifests(runs, experiment=experiment).values()] == [experiment]
    listed = studies.read_trials(runs / experiment / "trials.csv")
    for trial_id, rows in frame.groupby("trial_id"):
        trial = listed.trials[int(str(trial_id)) - 1]
        assert rows[factors].drop_duplicates().iloc[0].to_dict() == listed.schema.cell(trial)
        assert set(rows["item"]) == {trial[str(listed.schema.item)]}
    pd.testing.assert_frame_equal(frame, read([str(runs / experiment)]))
    pd.testing.assert_frame_equal(frame, read(runs, experiment=experiment))


@pytest.mark.parametrize("experiment", studies.ALL)
def test_every_form_of_a_table_says_the_same(runs: Path, experiment: str, tmp_path: Path) -> None:
    """A folder, Parquet, long CSV, a table in the folder, and the wide table alone can be read."""
    frame = read(runs / experiment)
    pd.testing.assert_frame_equal(frame, read(wide_csv(runs / experiment)))
    pd.testing.assert_frame_equal(frame, read(alone(runs / experiment, tmp_path / "a", lambda t: t)))
    (tmp_path / "b").mkdir()
    wide = shutil.copy(wide_csv(runs / experiment), tmp_path / "b")
    bare = read(wide)
    assert bare["trial_id"].unique().tolist() == list(range(1, 13))
    same = [c for c in frame.columns if c not in ("trial_id", "logprob", "prob_raw", "option_mass")]
    pd.testing.assert_frame_equal(frame[same], bare[same], check_exact=False, rtol=1e-12)
    assert manifests(wide) == {}
    if "option_mass" in bare.columns:
        assert bare["option_mass"].isna().all()
        with pytest.raises(SpecError, match="no row has an option mass"):
            quality.option_mass(bare)


def test_what_there_is_to_read(runs: Path) -> None:
    """There is one row per run. Several experiments need a choice."""
    found = contents(runs)
    assert found["experiment"].tolist() == list(studies.ALL) and set(found["model"]) == {"deterministic"}
    with pytest.raises(SpecError, match=r"study1-exp1, study1-exp2, .*experiment="):
        read(runs)
    with pytest.raises(SpecError, match=r"no run of 'study2-judgement'.* study1-exp1"):
        read(runs, experiment="study2-judgement")
    with pytest.raises(SpecError, match="no run of 'study9'"):
        read(runs, experiment="study9")


def test_two_models(runs: Path, tmp_path: Path) -> None:
    """The frame has both models in order. The same model twice, or in two revisions, is an error."""
    other = make(tmp_path / "other", "study1-exp2", DeterministicEngine(model="other"))
    frame = read([runs / "study1-exp2", other])
    assert frame["model"].unique().tolist() == ["deterministic", "other"]
    assert set(manifests([runs / "study1-exp2", other])) == {
        ("deterministic", "study1-exp2"),
        ("other", "study1-exp2"),
    }
    again = copied(runs, "study1-exp2", tmp_path / "again")
    with pytest.raises(SpecError, match=r"study1-exp2 of deterministic"):
        read([runs / "study1-exp2", again])
    manifest = json.loads((again / "manifest.json").read_text())
    manifest["spec"]["engine"]["revision"] = "another"
    del manifest["sha256"]
    (again / "manifest.json").write_text(json.dumps(manifest))
    for experiment in (None, "study1-exp2"):
        with pytest.raises(SpecError, match=r"deterministic has two revisions: .* another in .*again"):
            read([runs / "study1-exp2", again], experiment=experiment)


def test_structured_answers_beside_free_text(runs: Path, tmp_path: Path) -> None:
    """The structured table is joined row by row. A table of another run is an error."""
    folder = copied(runs, "study1-exp1", tmp_path / "run")
    names = {"number": "2", "knowledge": "yes"}
    path = structured(folder, lambda wide: [names[question] for question in wide["question"]])
    for frame in (read(folder), read(path)):
        assert frame.loc[frame["question"] == "number", "structured"].eq("2").all()
        assert study1.knowledge(frame)["mean"].eq(1).all()
        assert frame["bet_0"].isna().all() and frame["span_start"].dtype == "int64"
        assert frame["response"].equals(read(runs / "study1-exp1")["response"])
    (tmp_path / "alone").mkdir()
    bare = read(shutil.copy(path, tmp_path / "alone"))
    assert bare["structured"].tolist() == read(folder)["structured"].tolist()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.assign(seed="7").to_csv(path, index=False)
    with pytest.raises(SpecError, match=r"row 2, column seed: '7' .*another run"):
        read(folder)
    table.iloc[:-1].to_csv(path, index=False)
    with pytest.raises(SpecError, match=r"has 47 rows.* 48"):
        read(folder)
    table.drop(columns="category").to_csv(path, index=False)
    with pytest.raises(SpecError, match="column category is missing from a structured table"):
        read(folder)


def set_value(column: str, value: str, row: int = 0) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return change


def failed(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        logprob="", prob_raw="", prob_norm="", option_mass="", status="timeout", reason="slow"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_value("prob_norm", "0.9"), "row 2, column prob_norm: the options of this question sum to "),
        (set_value("prob_norm", "nan", 3), "row 5, column prob_norm: is missing in a row whose status is ok"),
        (set_value("prob_norm", "", 3), "row 5, column prob_norm: is missing in a row whose status is ok"),
        (set_value("prob_raw", "many"), "row 2, column prob_raw: 'many' is not a number"),
        (set_value("prob_raw", "-0.1"), "row 2, column prob_raw: -0.1 is not a probability"),
        (set_value("option_mass", "1.001"), "row 2, column option_mass: 1.001 is not a probability"),
        (set_value("option", "15"), "row 2, column option: '15' .* 0, 10, "),
        (set_value("option", "10"), "row 3, column option: trial_id .*, option 10 appears twice"),
        (set_value("question", "state9"), "row 2, column question: 'state9'.* asks state0, "),
        (set_value("trial_id", "301"), "row 2, column trial_id: 301 is not in "),
        (set_value("trial_id", "1.5"), "row 2, column trial_id: '1.5' is not a whole number"),
        (
            set_value("experiment", "study2-exp2"),
            "column experiment: study2-exp2, study1-exp2",
        ),
        (lambda t: t.drop(index=4), "column option: 10 of the 11 options of a question"),
        (lambda t: t.drop(columns="prob_raw"), "column prob_raw is missing from a long table of study1-exp2"),
        (failed, "no question was answered"),
    ],
)
def test_a_table_that_cannot_be_trusted(
    runs: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    """The error names file, row, column and fault, for every fault that averages would hide."""
    path = alone(runs / "study1-exp2", tmp_path / "t", change)
    with pytest.raises(SpecError, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_failures_stay_visible(tmp_path: Path) -> None:
    """A question that failed has rows with a status and without values."""
    folder = make(tmp_path / "run", "study1-exp2", DeterministicEngine(fault=nan_for("Exactly 2 of the 3")))
    frame = read(folder)
    lost = frame[frame["status"] != "ok"]
    assert set(lost["question"]) == {"state2"} and lost["prob_norm"].isna().all()
    counted = quality.completeness(frame).set_index("question")
    assert list(counted.loc["state2", ["n", "answered", "failed"]]) == [12, 0, 12]
    assert counted.loc["state0", "share_answered"] == 1
    why = quality.failures(frame)
    assert why["count"].sum() == 12 and set(why["status"]) == {"nan"} and why["share"].tolist() == [1.0]
    wide = read(shutil.copy(wide_csv(folder), tmp_path))
    assert set(wide.loc[wide["status"] != "ok", "question"]) == {"state2"}
    with pytest.raises(SpecError, match="no trial has bets on all four states"):
        study1.contrasts(frame)


def test_runs_without_answers(runs: Path, tmp_path: Path) -> None:
    """A missing or changed table, a run with failures only, no run and no source are errors."""
    folder = copied(runs, "study1-exp2", tmp_path / "run")
    parquet = next(folder.glob("*.parquet"))
    whole = parquet.read_bytes()
    pd.read_parquet(parquet).head(10).to_parquet(parquet)
    with pytest.raises(SpecError, match=r"has changed since .* grace export"):
        read(folder)
    parquet.unlink()
    with pytest.raises(SpecError, match=r"is missing.* grace export"):
        read(folder)
    parquet.write_bytes(whole)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"results": {}}))
    with pytest.raises(SpecError, match="grace export"):
        read(folder)
    nothing = make(tmp_path / "nothing", "study2-exp2", DeterministicEngine(fault=nan_for("")))
    with pytest.raises(SpecError, match="no question was answered"):
        read(nothing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"manifest\.json"):
        read(tmp_path / "empty")
    with pytest.raises(SpecError, match="does not exist"):
        read(tmp_path / "absent")
    with pytest.raises(SpecError, match="the list of runs is empty"):
        read([])


def test_tables_alone(runs: Path, tmp_path: Path) -> None:
    """A long table needs its trial list, a wide one its file name and all its columns."""
    long = Path(shutil.copy(long_csv(runs / "study1-exp2"), tmp_path))
    with pytest.raises(SpecError, match=r"trials\.csv.* trials="):
        read(long)
    with pytest.raises(TrialError, match=r"study2.csv.* a list of study1 needs this column"):
        read(long, trials=ROOT / "data" / "study2.csv")
    assert len(read(long, trials=ROOT / "data" / "study1.csv")) == 12 * 46
    wide = pd.read_csv(wide_csv(runs / "study2-exp2"), dtype=str, keep_default_na=False)
    for name, table, message in (
        ("table.csv", wide, "neither a long table .*MODEL_STUDY_TABLE_DATE.csv"),
        (
            "m_study1_probabilities_20260101.csv",
            wide,
            "column participant_id, .* study1",
        ),
        (
            "m_study2_probabilities_20260101.csv",
            wide.drop(columns="prob_was_bad"),
            "column prob_was_bad is missing",
        ),
        ("m_study9_probabilities_20260101.csv", wide, "study9"),
    ):
        table.to_csv(tmp_path / name, index=False)
        with pytest.raises(SpecError, match=message):
            read(tmp_path / name)
    wide.loc[3, "State"] = "4 hearts"
    wide.to_csv(tmp_path / "m_study2_probabilities_20260101.csv", index=False)
    with pytest.raises(TrialError, match="column 'State': is '4 hearts'"):
        read(tmp_path / "m_study2_probabilities_20260101.csv")
    stray = runs / "study1-exp2" / "m_study1_probabilities_20260101.csv"
    stray.write_text("a\n1\n")
    try:
        with pytest.raises(SpecError, match="is not a table of the run in"):
            read(stray)
    finally:
        stray.unlink()


def test_answers_are_kept_as_they_were_said(runs: Path, tmp_path: Path) -> None:
    """An answer that reads "NA", "" or "1" is text, not a missing value or a number."""
    said = ["NA", "", "1", "None"]

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table["response"] = (said * len(table))[: len(table)]
        return table

    frame = read(alone(runs / "study2-exp1", tmp_path / "t", change))
    assert frame["response"].head(4).tolist() == said


def test_scored_runs_go_through_every_function(runs: Path) -> None:
    """The analysis of both studies takes the result of `read`."""
    one, two = read(runs, experiment="study1-exp2"), read(runs, experiment="study2-exp2")
    assert study1.cell_means(one)["n"].groupby([0] * 24).sum().iloc[0] == 12 * 4
    assert np.isclose(study2.utterances(two)["n"].sum(), 12 * 8)


def test_what_is_judged_is_a_condition(tmp_path: Path) -> None:
    """The judged sentence is a column and part of the stimulus, in this experiment only."""
    run = make(tmp_path / "run", "study2-judgement", sample=60)
    frame = read(run)
    listed = own_list("study2").trials
    wanted = {trial.trial_id: trial["Utterance"] for trial in listed}
    assert (frame["utterance"] == frame["trial_id"].map(wanted)).all()
    assert list(frame.columns).index("utterance") == list(frame.columns).index("state") + 1
    assert frame.groupby("stimulus")["utterance"].nunique().max() == 1
    judged = study2.judgements(frame)
    assert judged["utterance"].nunique() == 6 and set(judged["measure"]) == {"appropriate", "quality"}
    assert "utterance" not in read(make(tmp_path / "said", "study2-exp2"))
