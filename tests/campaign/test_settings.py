"""What a campaign's models are installed with."""

from __future__ import annotations

import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grace_client import studies
from grace_client.campaign import machine, settings
from grace_client.campaign.records import Campaign, Limits
from grace_client.cli.campaign._options import CampaignOptions
from grace_client.core import trials
from grace_client.core.errors import SpecError, StudyError
from grace_client.deploy.study import experiments
from grace_client.deploy.values import document, effective, values_folder
from grace_client.kube.helm import Assignments
from tests.conftest import ROOT
from tests.support import own_study

needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on the PATH")

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def new(*models: str, **given: Any) -> Campaign:
    limits = Limits(fallbacks=("rtx-3090", "l40"))
    return machine.begin("c", "ns", settings.describe(models, folder=values_folder(), **given), limits, NOW)


def test_a_campaign_carries_its_files(tmp_path: Path) -> None:
    """Another machine without the values folder installs the same."""
    campaign = new("gemma-2b")
    found = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    assert (tmp_path / "gemma-2b.yaml").exists() and (tmp_path / "gpus" / "l40.yaml").exists()
    assert found.gpu.products == ("NVIDIA-L40",) and found.model.repository == "google/gemma-2-2b-it"


def test_unknown_names_are_refused() -> None:
    """With the names that there are."""
    with pytest.raises(SpecError, match=r"no model nobody in .*gemma-27b, gemma-2b"):
        settings.describe(["nobody"], folder=values_folder())
    with pytest.raises(SpecError, match="no kind of GPU h900"):
        settings.describe(["gemma-2b"], folder=values_folder(), fallbacks=["h900"])
    with pytest.raises(SpecError, match="only once"):
        settings.describe(["gemma-2b", "gemma-2b"], folder=values_folder())


def test_the_models_own_gpus_change_nothing(tmp_path: Path) -> None:
    """A campaign's run is that of a plain `helm install`."""
    campaign = new("gemma-2b", sets={"queries.maxFailed": 0.1})
    values = settings.values_of(campaign.spec, "gemma-2b", "", tmp_path)
    assert values.values["queries"]["maxFailed"] == 0.1
    assert settings.sets_of(campaign, campaign.models[0], values) == {}
    assert settings.run_id(campaign, campaign.models[0], effective(values, {})) == "gemma-2b"


def test_clients_wait_as_long_as_the_campaign(tmp_path: Path) -> None:
    """A longer queue is a longer wait of the query Jobs; a shorter one changes nothing."""
    for minutes, expected in ((30.0, None), (300.5, 301), (1e4, 1439)):
        campaign = new("gemma-2b")
        campaign = machine.reopen(campaign, Limits(queue_minutes=minutes))
        values = settings.values_of(campaign.spec, "gemma-2b", "", tmp_path)
        sets = settings.sets_of(campaign, campaign.models[0], values)
        assert sets.get("queries.queueMinutes") == expected


def test_other_gpus_are_another_run(tmp_path: Path) -> None:
    """Declared in the manifest and in a folder of its own: numbers of two kinds of GPU never mix."""
    campaign = new("gemma-2b", sets={"queries.experiments.study1-exp2.extraArgs": ["--prune=1e-6"]})
    model = campaign.models[0].model_copy(update={"overlay": "l40"})
    values = settings.values_of(campaign.spec, "gemma-2b", model.overlay, tmp_path)
    known = document(values, settings.sets_of(campaign, model, values))["queries"]
    assert known["runId"] == "gemma-2b-l40"
    asked = known["experiments"]
    assert asked["study1-exp2"]["extraArgs"] == ["--prune=1e-6", "--declare=gpu=l40"]
    assert asked["study2-exp1"]["extraArgs"] == ["--declare=gpu=l40"]


def test_a_study_travels_with_the_campaign(tmp_path: Path) -> None:
    """File, examples and list are in its record: another machine without them installs the same."""
    home = tmp_path / "home"
    shutil.copytree(own_study.FOLDER, home)
    options = CampaignOptions(study=home / own_study.FILE.name, experiments="main,some-reds-said", sample=3)
    campaign = machine.begin("c", "ns", options.spec("gemma-2b"), Limits(fallbacks=("l40",)), NOW)
    shutil.rmtree(home)
    campaign = Campaign.model_validate_json(campaign.to_json())
    model = campaign.models[0].model_copy(update={"overlay": "l40"})
    values = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    known = effective(values, settings.sets_of(campaign, model, values))
    queries = known["queries"]
    assert {key: queries[key] for key in ("study", "studyFiles")} == {
        key: own_study.VALUES[key] for key in ("study", "studyFiles")
    }
    assert queries["trials"][own_study.NAME] == own_study.TRIALS.read_text()
    assert experiments(known) == ("some-reds-main", "some-reds-said")
    asked = {"enabled": True, "sample": 3, "extraArgs": ["--declare=gpu=l40"]}
    assert queries["experiments"]["some-reds-main"] == asked


def test_a_list_is_given_to_its_study(tmp_path: Path) -> None:
    """Recognised by its columns; one of the study's own wins over the file that the study names."""
    lists = [ROOT / "data" / "study1.csv", ROOT / "data" / "study2.csv"]
    sets = CampaignOptions(trials=lists).spec("gemma-2b").sets
    assert sets == {f"queries.trials.{file.stem}": file.read_bytes().decode() for file in lists}
    mine = tmp_path / "mine.csv"
    mine.write_text("participant,scene,quantifier\n9,There are two cats.,all\n")
    sets = CampaignOptions(study=own_study.FILE, trials=[mine]).spec("gemma-2b").sets
    assert sets["queries.trials.some-reds"] == mine.read_text()
    mine.write_bytes(mine.read_text().encode("utf-16"))
    assert CampaignOptions(study=own_study.FILE, trials=[mine]).spec("gemma-2b").sets == sets


def test_a_faulty_plan_takes_no_gpu(tmp_path: Path) -> None:
    """What a run refuses is refused before there is a release."""
    shutil.copytree(own_study.FOLDER, tmp_path / "study")
    file = tmp_path / "study" / own_study.FILE.name
    contrast = "    contrasts: [{name: x, greater: {quantifier: sme}, lesser: {quantifier: all}}]\n"
    text = own_study.TEXT.replace("  main:\n", f"  main:\n{contrast}")
    assert text != own_study.TEXT
    file.write_text(text)
    with pytest.raises(StudyError, match=r"'x': quantifier has no level 'sme'\. Did you mean"):
        CampaignOptions(study=file).spec("gemma-2b")


def test_a_list_of_any_kind_goes_into_a_release(tmp_path: Path) -> None:
    """A workbook, a Parquet table and other encodings become CSV in UTF-8 with the same rows."""
    text = "participant,scene,quantifier\n9,There are two caf\u00e9s \u2013 and a cat.,all\n"
    frame = pd.read_csv(io.StringIO(text), dtype=str)
    (tmp_path / "windows.csv").write_bytes(text.replace(",", ";").encode("cp1252"))
    (tmp_path / "utf16.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "marked.csv").write_bytes(text.encode("utf-8-sig"))
    frame.to_excel(tmp_path / "book.xlsx", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    wanted = studies.read_trials(tmp_path / "marked.csv", studies.find(str(own_study.FILE)))
    for file in sorted(tmp_path.iterdir()):
        sets = CampaignOptions(study=own_study.FILE, trials=[file]).spec("gemma-2b").sets
        raw = sets["queries.trials.some-reds"].encode()
        found = trials.parse(raw, path=file.name, schemas=[wanted.schema])
        assert [trial.fields for trial in found.trials] == [trial.fields for trial in wanted.trials]
    assert raw == (tmp_path / "windows.csv").read_bytes().decode("cp1252").encode()


def test_a_runs_own_name_stays_in_front(tmp_path: Path) -> None:
    """`queries.runId` and the overlay together name the folder."""
    campaign = new("gemma-2b", gpu="l40", sets={"queries.runId": "trial"})
    values = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    assert settings.sets_of(campaign, campaign.models[0], values)["queries.runId"] == "trial-l40"


def test_an_earlier_versions_campaign_goes_on(tmp_path: Path) -> None:
    """It kept `--set` as values by dotted key; the same command line asks for the same campaign."""
    earlier = {"queries.maxFailed": 0.05, "server.extraArgs": ["--seed=1"], "labels": {"a.b": "c"}}
    earlier |= {"queries.experiments.study1-exp2.reasoning": "none"}
    record = json.loads(new("gemma-2b", sets=earlier).model_dump_json())
    record["what"] = record.pop("spec")
    assert "assignments" not in record["what"]
    kept = Campaign.model_validate(record).spec
    found = settings.values_of(kept, "gemma-2b", "", tmp_path).values
    assert found["queries"] == {"maxFailed": 0.05, "experiments": {"study1-exp2": {"reasoning": "on"}}}
    assert (found["labels"], found["server"]["extraArgs"]) == ({"a.b": "c"}, ["--seed=1"])
    words = ["queries.maxFailed=0.05", "server.extraArgs={--seed=1}", r"labels.a\.b=c"]
    words.append("queries.experiments.study1-exp2.reasoning=on")
    asked = new("gemma-2b", assignments=Assignments(tuple(words))).spec
    other = new("gemma-2b", assignments=Assignments((*words, "queries.maxFailed=0.06"))).spec
    assert settings.same(kept, kept)
    if shutil.which("helm"):
        assert settings.same(asked, kept) and not settings.same(other, kept)


@needs_helm
def test_assigned_values_win_and_are_kept(tmp_path: Path) -> None:
    """Over the file, the overlay and the campaign's own options; a file's text goes along with the record."""
    (tmp_path / "list.csv").write_bytes(b"a,b\r\n")
    given = Assignments.of(["gpu.count=2", "x=1.10"], ["queries.runId=007"], [f"text={tmp_path}/list.csv"])
    campaign = new("gemma-2b", gpu="l40", sets={"queries.runId": "r", "n": 1}, assignments=given)
    (tmp_path / "list.csv").unlink()
    campaign = Campaign.model_validate_json(campaign.model_dump_json())
    values = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    assert (values.gpu.count, values.gpu.products) == (2, ("NVIDIA-L40",))
    found = {key: values.values[key] for key in ("x", "n", "text")}
    assert found == {"x": "1.10", "n": 1, "text": "a,b\r\n"}
    assert settings.run_id(campaign, campaign.models[0], effective(values, {})) == "007-l40"
    with pytest.raises(SpecError, match=r"--set gpu\.count"):
        wrong = new("gemma-2b", assignments=Assignments(("gpu.count=two",)))
        settings.values_of(wrong.spec, "gemma-2b", "", tmp_path)
