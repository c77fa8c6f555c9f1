"""A campaign that an older version of grace began is opened, written in the same form, and run to its end."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from grace_client.campaign import machine, store
from grace_client.campaign.controller import Controller
from grace_client.campaign.records import Campaign, Outcome, Phase
from tests.campaign.fakes import Fake

STORED = Path(__file__).parent / "stored"
"""Written by grace before its rooms and names were changed: killed while it uninstalled its second model."""


def test_the_file_of_an_older_version(tmp_path: Path) -> None:
    """Every key is read, and written as it was: an older version can go on, too."""
    shutil.copy(STORED / store.FILE, tmp_path)
    campaign = store.read_file(tmp_path)
    assert campaign is not None and campaign.spec.models == ("small", "large", "last")
    assert campaign.spec.sets == {"queries.maxFailed": 0.05} and "NVIDIA-L40" in campaign.spec.overlays["l40"]
    small, large, _ = campaign.models
    assert small.phase is Phase.DONE and small.gpu_uses[0].gpus == 2 and small.results == ("results/small",)
    assert large.phase is Phase.UNINSTALLING and large.outcome is Outcome.DONE
    assert store.Store(Fake(), tmp_path).write(campaign) == ""
    assert (tmp_path / store.FILE).read_bytes() == (STORED / store.FILE).read_bytes()


def test_the_configmap_of_an_older_version(tmp_path: Path) -> None:
    """Another machine takes it over from the cluster alone, and runs it to its end."""
    fake = Fake()
    item = json.loads((STORED / "configmap.json").read_text())
    fake.maps[store.NAME] = item

    async def resume() -> Campaign:
        stored = await store.read_cluster(fake)
        assert stored is not None and stored.holder == "elsewhere:1"
        campaign = machine.reopen(stored.campaign, stored.campaign.limits)
        own = store.Store(fake, tmp_path)
        await own.acquire(campaign, fake.now(), take_over=True)
        return await Controller(campaign, fake, own, fake.backend, clock=fake).run()

    ended = asyncio.run(resume())
    assert [model.phase for model in ended.models] == [Phase.DONE] * 3
    assert fake.installs == ["last"] and not fake.maps
