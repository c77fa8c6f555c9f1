"""What a campaign's models are installed with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from grace_client.campaign import machine, settings
from grace_client.campaign.records import Campaign, Limits
from grace_client.core.errors import SpecError
from grace_client.deploy.values import document, effective, values_folder

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def new(*models: str, **given: Any) -> Campaign:
    limits = Limits(fallbacks=("rtx-3090", "l40"))
    return machine.begin("c", "ns", settings.describe(models, folder=values_folder(), **given), limits, NOW)


@pytest.mark.parametrize(
    "text, found",
    [
        ("a.b=1", {"a.b": 1}),
        ("a=0.05", {"a": 0.05}),
        ("a=true", {"a": True}),
        ("a=null", {"a": None}),
        ("a=007", {"a": "007"}),
        ("a=", {"a": ""}),
        ("a=x=y", {"a": "x=y"}),
        ("a={1,b}", {"a": [1, "b"]}),
        (r"s.nodeSelector.grace\.test/node=real", {"s.nodeSelector": {"grace.test/node": "real"}}),
    ],
)
def test_single_values(text: str, found: dict[str, Any]) -> None:
    """As `helm --set` reads them."""
    assert settings.parse_sets([text]) == found


def test_labels_with_dots_add_up() -> None:
    """Two of one mapping are both in it."""
    assert settings.parse_sets([r"s.x\.y=1", r"s.v\.w=2"]) == {"s": {"x.y": 1, "v.w": 2}}


def test_a_value_needs_a_key() -> None:
    """And an equals sign."""
    for wrong in ("a", "=1"):
        with pytest.raises(SpecError, match="KEY=VALUE"):
            settings.parse_sets([wrong])


def test_a_campaign_carries_its_files(tmp_path: Path) -> None:
    """Another machine without the values folder installs the same."""
    campaign = new("gemma-2b")
    found = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    assert found.files == (tmp_path / "gemma-2b.yaml", tmp_path / "gpus" / "l40.yaml")
    assert found.gpu.products == ("NVIDIA-L40",) and found.model.repository == "google/gemma-2-2b-it"


def test_unknown_names_are_refused() -> None:
    """With the names that there are."""
    with pytest.raises(SpecError, match=r"no model nobody in .*gemma-27b, gemma-2b"):
        settings.describe(["nobody"], folder=values_folder())
    with pytest.raises(SpecError, match="no GPU h900"):
        settings.describe(["gemma-2b"], folder=values_folder(), fallbacks=["h900"])
    with pytest.raises(SpecError, match="only once"):
        settings.describe(["gemma-2b", "gemma-2b"], folder=values_folder())


def test_the_models_own_gpus_change_nothing(tmp_path: Path) -> None:
    """A campaign's run is that of a plain `helm install`."""
    campaign = new("gemma-2b", sets={"queries.maxFailed": 0.1})
    values = settings.values_of(campaign.spec, "gemma-2b", "", tmp_path)
    assert settings.sets_of(campaign, campaign.models[0], values) == {"queries.maxFailed": 0.1}
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


def test_a_runs_own_name_stays_in_front(tmp_path: Path) -> None:
    """`queries.runId` and the overlay together name the folder."""
    campaign = new("gemma-2b", gpu="l40", sets={"queries.runId": "trial"})
    values = settings.values_of(campaign.spec, "gemma-2b", "l40", tmp_path)
    assert settings.sets_of(campaign, campaign.models[0], values)["queries.runId"] == "trial-l40"
