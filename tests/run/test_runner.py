"""Planning, running, resuming and exporting, on a deterministic engine."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import studies
from grace_client.core.errors import BusyError, ExitCode, ItemError, SpecError, TrialError
from grace_client.core.options import TokenTrie
from grace_client.core.progress import Progress
from grace_client.core.trials import TrialList
from grace_client.engines.base import Answered
from grace_client.run import layout, tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import SamplingSpec
from grace_client.run.runner import run
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment
from tests.conftest import ROOT, own_list, undated
from tests.support.deterministic import DeterministicEngine, nan_for

STUDY1 = ROOT / "data" / "study1.csv"


def ask(
    path: Path,
    experiment: str | Experiment = "study1-exp2",
    engine: DeterministicEngine | None = None,
    trial_list: TrialList | None = None,
    sample: int | None = None,
    sampling: SamplingSpec | None = None,
    stop_after: int | None = None,
) -> tuple[RunFolder, Progress]:
    """Run an experiment to its end and open its folder anew."""
    engine = engine or DeterministicEngine()

    async def work() -> Progress:
        found = studies.experiment(experiment) if isinstance(experiment, str) else experiment
        own = trial_list or own_list(found.schema.study)
        folder = RunFolder.create(path, found, own, await engine.describe(), sample=sample, sampling=sampling)
        stop = asyncio.Event()

        def watch(progress: Progress) -> None:
            if stop_after is not None and progress.asked >= stop_after:
                stop.set()

        with folder.locked():
            return await run(folder, engine, on_progress=watch, stop=stop)

    progress = asyncio.run(work())
    return RunFolder.open(path), progress


def exported(folder: RunFolder) -> dict[str, bytes]:
    return {undated(path.name): path.read_bytes() for path in tables.export(folder)}


def test_equal_questions_are_asked_once(tmp_path: Path, study1: TrialList) -> None:
    """300 trials, 1,500 questions, 180 of them distinct, each answer fanned out to its trials."""
    engine = DeterministicEngine()
    folder, progress = ask(tmp_path, engine=engine, trial_list=study1)
    assert (len(folder.plan.items), len(folder.plan.distinct)) == (1500, 180)
    assert len(engine.asked) == len(set(engine.asked)) == progress.done == 180


@pytest.mark.slow
def test_study2_asks_its_distinct_prompts(tmp_path: Path, study2: TrialList) -> None:
    """2,046 for the users' 2,424 trials."""
    ours = study2.path.startswith(str(ROOT / "data"))
    folder, progress = ask(tmp_path, "study2-exp2", trial_list=study2)
    assert progress.done == (2386 if ours else 2046)
    wide = pd.read_csv(tables.export(folder)[0])
    assert wide.shape == (2424, 26)
    assert np.allclose(wide.filter(regex="^prob_was(nt)?_").sum(axis=1), 1)


def test_the_wide_table_of_study1(tmp_path: Path, study1: TrialList) -> None:
    """68 columns; inputs as read; measures recomputed here from the probabilities."""
    folder, _ = ask(tmp_path, trial_list=study1)
    path = tables.export(folder)[0]
    assert re.fullmatch(r"deterministic_study1_probabilities_\d{8}\.csv", path.name)
    wide = pd.read_csv(path, dtype=str)
    assert wide.shape == (300, 68)
    for row, trial in zip(wide.to_dict("records"), study1.trials, strict=True):
        assert {name: row[name] for name in study1.schema.names} == dict(trial.fields)
    numbers = pd.read_csv(path)
    steps = np.arange(0, 101, 10)
    for state in range(4):
        p = numbers[[f"state{state}_prob_{x}" for x in steps]].to_numpy()
        assert np.allclose(p.sum(axis=1), 1)
        mean = p @ steps
        assert np.allclose(numbers[f"state{state}_mean"], mean)
        std = np.sqrt((p * (steps - mean[:, None]) ** 2).sum(axis=1))
        assert np.allclose(numbers[f"state{state}_std"], std)
        assert np.allclose(numbers[f"state{state}_entropy"], -(p * np.log2(p)).sum(axis=1))
    yes = numbers["prob_knowledge_yes"]
    assert np.allclose(yes + numbers["prob_knowledge_no"], 1)
    assert np.allclose(numbers["entropy_knowledge"], -yes * np.log2(yes) - (1 - yes) * np.log2(1 - yes))


def test_the_long_table_keeps_raw_and_normalised(tmp_path: Path) -> None:
    """One row per trial, question and option; mass is the sum of the raw ones; CSV and Parquet agree."""
    folder, _ = ask(tmp_path)
    _, csv, parquet = tables.export(folder)
    long = pd.read_parquet(parquet)
    assert list(long.columns) == list(layout.SCORED)
    assert len(long) == 300 * (4 * 11 + 2)
    groups = long.groupby(["trial_id", "question"])
    assert np.allclose(groups["prob_norm"].sum(), 1)
    assert np.allclose(groups["prob_raw"].sum(), groups["option_mass"].first())
    assert np.allclose(np.exp(long["logprob"]), long["prob_raw"])
    assert (long["option_mass"] <= 1 + 1e-4).all()
    text = pd.read_csv(csv, dtype={"option": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(text, long, check_dtype=False)


def test_free_text_has_its_own_seed_per_answer(tmp_path: Path) -> None:
    """One row per replicate; no two answers share a seed; equal stimuli are asked again."""
    engine = DeterministicEngine()
    folder, _ = ask(tmp_path, "study1-exp1", engine, sampling=SamplingSpec(replicates=3))
    wide = pd.read_csv(tables.export(folder)[0])
    assert list(wide.columns[9:]) == list(layout.WIDE_FREE)
    assert len(wide) == 300 * 2 * 3 == len(engine.asked)
    assert wide["seed"].is_unique
    assert set(wide["replicate"]) == {1, 2, 3}
    assert wide["response"].str.endswith("perhaps.").all()
    assert (wide["status"] == "ok").all()


def test_a_sample_is_the_same_every_time_and_keeps_trial_ids(tmp_path: Path) -> None:
    """Rows of the list, in its order."""
    first, _ = ask(tmp_path / "a", sample=20)
    second, _ = ask(tmp_path / "b", sample=20)
    ids = [trial.trial_id for trial in first.plan.trials]
    assert ids == [trial.trial_id for trial in second.plan.trials] == sorted(ids)
    assert len(ids) == 20
    assert exported(first) == exported(second)


def test_a_stopped_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    """And its tables are those of an undisturbed run, byte for byte."""
    first, second = DeterministicEngine(), DeterministicEngine()
    folder, progress = ask(tmp_path / "a", engine=first, stop_after=50)
    assert 50 <= progress.done < 60
    wide = pd.read_csv(tables.export(folder)[0])
    assert wide["state0_mean"].isna().any(), "what is not asked yet is empty"
    folder, _ = ask(tmp_path / "a", engine=second)
    assert len(first.asked) + len(second.asked) == 180
    assert not set(first.asked) & set(second.asked)
    undisturbed, _ = ask(tmp_path / "b")
    assert exported(folder) == exported(undisturbed)


def test_a_stop_does_not_wait_for_an_engine_that_hangs(tmp_path: Path) -> None:
    """What is in flight is given up after the stated time; what was answered stays."""
    stop = asyncio.Event()

    class Hangs(DeterministicEngine):
        async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
            if len(self.asked) >= 20:
                stop.set()
                await asyncio.Event().wait()
            return await super().edge_logprobs(prompt_ids, trie)

    async def work() -> Progress:
        engine, experiment = Hangs(), studies.experiment("study1-exp2")
        own = studies.read_trials(STUDY1)
        folder = RunFolder.create(tmp_path, experiment, own, await engine.describe())
        return await asyncio.wait_for(run(folder, engine, stop=stop, stop_seconds=0.1), timeout=30)

    assert asyncio.run(work()).done == 20
    assert RunFolder.open(tmp_path).progress().done == 20


@pytest.mark.slow
def test_killed_at_fifty_random_moments(tmp_path: Path) -> None:
    """SIGKILL fifty times, then to the end: same tables, nothing asked that was on disk."""
    study2 = ROOT / "data" / "study2.csv"
    subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.deterministic"),
            *(str(tmp_path / "a"), str(study2), "study2-exp2", "50", "1"),
        ],
        cwd=ROOT,
        check=True,
    )
    killed = RunFolder.open(tmp_path / "a")
    assert len(killed.ledger.segments) > 10
    undisturbed, _ = ask(tmp_path / "b", "study2-exp2")
    assert exported(killed) == exported(undisturbed)


def test_a_failed_item_is_a_row_with_a_reason_and_no_values(tmp_path: Path) -> None:
    """Nothing is imputed; the rest of its trial stands; a permanent failure is not asked again."""
    engine = DeterministicEngine(fault=nan_for("Exactly 2 of the 3 kites"))
    folder, progress = ask(tmp_path, engine=engine)
    assert progress.failed == 6
    wide = pd.read_csv(tables.export(folder)[0])
    kites = wide["story_shortname"] == "kites"
    assert wide.loc[kites].filter(regex="^state2_").isna().all(axis=None)
    assert wide.loc[kites].filter(regex="^state[013]_").notna().all(axis=None)
    assert wide.loc[~kites].notna().all(axis=None)
    long = pd.read_parquet(tables.export(folder)[2])
    failed = long[long["status"] != "ok"]
    assert set(failed["reason"]) == {"the model overflowed"}
    assert failed[["logprob", "prob_raw", "prob_norm", "option_mass"]].isna().all(axis=None)
    assert folder.manifest.results["distinct_by_status"] == {"nan": 6, "ok": 174}
    again = DeterministicEngine()
    ask(tmp_path, engine=again)
    assert again.asked == []


def test_a_failure_that_may_pass_is_asked_again(tmp_path: Path) -> None:
    """By the next run, which completes the table."""

    def fault(text: str) -> None:
        if "kites" in text:
            raise ItemError("timeout", "no answer in time", retryable=True)

    _, progress = ask(tmp_path / "a", engine=DeterministicEngine(fault=fault))
    assert progress.failed == 30
    again = DeterministicEngine()
    folder, progress = ask(tmp_path / "a", engine=again)
    assert len(again.asked) == 30
    assert progress.failed == 0
    assert exported(folder) == exported(ask(tmp_path / "b")[0])


def test_a_prompt_longer_than_the_context_is_an_item_error(tmp_path: Path) -> None:
    """Nothing is cut."""
    folder, progress = ask(tmp_path, engine=DeterministicEngine(max_context=430))
    assert 0 < progress.failed < 180
    reasons = {
        answer["reason"]
        for item in folder.plan.distinct
        if (answer := folder.ledger.get(item.key)) and answer["status"] == "context"
    }
    assert any("tokens, but deterministic takes at most 430" in reason for reason in reasons)


def test_a_bug_in_the_engine_is_not_an_answer(tmp_path: Path) -> None:
    """An unexpected exception ends the run; what was answered before is kept."""

    def fault(text: str) -> None:
        if "kites" in text:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(tmp_path, engine=DeterministicEngine(fault=fault))
    folder, progress = ask(tmp_path)
    assert progress.done == 180
    assert 0 < progress.asked <= 180
    assert folder.ledger.contents.lines == 180


def test_another_run_in_the_same_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    """Another model, other trials, another experiment: named, and nothing is mixed."""
    ask(tmp_path, sample=10)
    with pytest.raises(SpecError, match=r'engine\.model: "deterministic" in the folder, "other" now'):
        ask(tmp_path, engine=DeterministicEngine(model="other"), sample=10)
    with pytest.raises(SpecError, match=r"sample: 10 in the folder, 11 now"):
        ask(tmp_path, sample=11)
    with pytest.raises(SpecError, match=r'experiment: "study1-exp2" in the folder, "study1-exp1" now'):
        ask(tmp_path, "study1-exp1", sample=10)


def test_a_list_of_the_other_study_is_refused(tmp_path: Path) -> None:
    """Before a folder is made."""
    with pytest.raises(SpecError, match=r"study2-exp2 needs a trial list of study2, but .* is one of study1"):
        ask(tmp_path / "a", "study2-exp2", trial_list=studies.read_trials(STUDY1))
    assert not (tmp_path / "a").exists()


def test_a_run_folder_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    """Record gone, trial list changed, manifest broken, no run at all."""
    folder, _ = ask(tmp_path / "a", sample=5)
    tables.export(folder)
    (tmp_path / "a" / "ledger").rename(tmp_path / "elsewhere")
    with pytest.raises(SpecError, match=r"has tables, but its record.* ledger/"):
        RunFolder.open(tmp_path / "a")
    (tmp_path / "elsewhere").rename(tmp_path / "a" / "ledger")
    copy = tmp_path / "a" / "trials.csv"
    copy.write_bytes(copy.read_bytes().replace(b"parcels", b"barrels"))
    with pytest.raises(SpecError, match=r"trials.csv has changed since the run began"):
        RunFolder.open(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text('{"spec": 1}')
    with pytest.raises(SpecError, match=r"manifest.json cannot be read"):
        RunFolder.open(tmp_path / "a")
    with pytest.raises(SpecError, match=r"is not a run folder. It contains 1 .*/a. Name one"):
        RunFolder.open(tmp_path)


def test_two_processes_on_one_folder_are_refused(tmp_path: Path) -> None:
    """They would ask everything twice; the second may try again."""
    folder, _ = ask(tmp_path, sample=5)
    with folder.locked(), pytest.raises(BusyError, match="Another process works on") as caught:
        ask(tmp_path, sample=5)
    assert caught.value.exit_code == ExitCode.UNREACHABLE, "a Job is to try again"


def test_sessions_are_in_the_manifest(tmp_path: Path) -> None:
    """What each process asked and what the engine counted meanwhile; one with nothing to ask leaves nothing.

    Of a process that was stopped nothing was counted; exporting keeps what was told.
    """
    ask(tmp_path, sample=20, stop_after=10)
    ask(tmp_path, sample=20)
    folder, progress = ask(tmp_path, sample=20)
    tables.export(folder)
    stopped, whole = RunFolder.open(tmp_path).manifest.sessions
    assert stopped.asked + whole.asked == progress.total
    assert stopped.counters == {}
    assert whole.counters == {"retries": float(whole.asked)}
    assert folder.manifest.results["tokens"]["prompt"] > 1000


def test_the_manifest_tells_what_the_numbers_rest_on(tmp_path: Path) -> None:
    """Model, template, list, counts, checksums."""
    folder, _ = ask(tmp_path)
    tables.export(folder)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["spec"]["engine"]["revision"] == "1"
    assert manifest["spec"]["trials_sha256"] == studies.read_trials(STUDY1).sha256
    assert manifest["results"]["distinct"] == 180
    assert manifest["results"]["ledger_sha256"] == folder.ledger.sha256()
    assert len(manifest["results"]["tables"]) == 3
    for mass in manifest["results"]["option_mass"].values():
        assert 0 < mass["min"] <= mass["mean"] < 1


def test_the_study_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third study is one file and a list."""
    text = (ROOT / "docs" / "how-to" / "add-a-study.md").read_text()
    source, listed = (
        re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)[0] for kind in ("yaml", "text")
    )
    (tmp_path / "colours.yaml").write_text(source)
    (tmp_path / "hues.csv").write_text(listed)
    experiment = studies.experiment(str(tmp_path / "colours.yaml"))
    trial_list = lists.default(experiment.study)
    folder, progress = ask(tmp_path / "run", experiment, trial_list=trial_list)
    assert progress.total == 2 * len({trial["hue"] for trial in trial_list.trials})
    wide = pd.read_csv(tables.export(folder)[0])
    assert list(wide.columns) == [*experiment.schema.names, *experiment.columns]
    assert np.allclose(wide[list(experiment.option_columns["warm"])].sum(axis=1), 1)
    again = RunFolder.open(tmp_path / "run")
    assert again.experiment.name == experiment.name
    (tmp_path / "hues.csv").write_text("participant,hue\n1,400\n")
    with pytest.raises(TrialError, match="2: column 'hue': is '400'"):
        lists.default(experiment.study)
