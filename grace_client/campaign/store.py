"""Where a campaign is kept: in a file, and in the one ConfigMap of its namespace while it is under way.

The ConfigMap is what makes a second campaign in the namespace impossible, and what any other machine reads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from grace_client.campaign.records import Campaign
from grace_client.core import paths
from grace_client.core.errors import BusyError, ReleaseError, SpecError

Json = dict[str, Any]

FILE = "campaign.json"
NAME = "grace-campaign"
LABELS = {"app.kubernetes.io/part-of": "grace", "app.kubernetes.io/component": "campaign"}

GONE = f"ConfigMap {NAME} was deleted: somebody ended the campaign"
LEASE = timedelta(seconds=90)
"""How long a campaign belongs to a process that is not heard of."""
RENEW = timedelta(seconds=20)
"""How often it is heard of."""


class Objects(Protocol):
    """What keeping needs of `kubectl`."""

    async def get(self, kind: str, *, selector: str = "", names: Sequence[str] = ()) -> list[Json]:
        """Objects of some kind."""
        ...

    async def create(self, item: Json) -> bool:
        """Create an object; False where there is one."""
        ...

    async def patch(self, kind: str, name: str, patch: Json) -> None:
        """Merge a patch into an object."""
        ...

    async def delete(self, kind: str, name: str, *, wait: bool = False, grace: int | None = None) -> None:
        """Delete an object."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cluster holds of a campaign.

    Attributes
    ----------
    campaign : Campaign
        As last saved.
    holder : str
        Process that conducts it, as `HOST:PID`; empty for none.
    renewed : datetime
        When that process was last heard of.
    stop : str
        Why somebody asked it to end; empty where nobody did.
    """

    campaign: Campaign
    holder: str
    renewed: datetime
    stop: str

    def conducted(self, now: datetime) -> bool:
        """Whether a process seems to be at work on it."""
        if not self.holder or now - self.renewed > LEASE:
            return False
        host, _, pid = self.holder.rpartition(":")
        return host != socket.gethostname() or _alive(int(pid))


def me() -> str:
    """The process that runs, as `HOST:PID`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def read_file(folder: Path) -> Campaign | None:
    """The campaign of a folder; None where there is none.

    Raises
    ------
    SpecError
        Where the file is none.
    """
    try:
        return Campaign.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise SpecError(
            f"{folder / FILE} cannot be read: {error.errors()[0]['msg']}. Name another folder with --out; a "
            "campaign that is under way is read from the cluster"
        ) from None


async def read_cluster(objects: Objects) -> Kept | None:
    """The campaign that is under way in the namespace; None where there is none."""
    found = await objects.get("configmaps", names=[NAME])
    return _kept(found[0]) if found else None


def _kept(item: Json) -> Kept:
    data = item["data"]
    try:
        campaign = Campaign.model_validate_json(data[FILE])
    except (KeyError, ValidationError):
        raise SpecError(
            f"ConfigMap {NAME} holds no campaign that this version of grace can read; use the version that "
            f"made it, or, if no campaign is under way: kubectl delete configmap {NAME}"
        ) from None
    renewed = datetime.fromisoformat(data["renewed"])
    return Kept(campaign, data.get("holder", ""), renewed, data.get("stop", ""))


def newer(kept: Kept | None, file: Campaign | None) -> Campaign | None:
    """Of the cluster's and the file's record of one campaign the one with more in it."""
    records = [record for record in (kept.campaign if kept else None, file) if record is not None]
    if kept is not None:
        records = [record for record in records if record.name == kept.campaign.name]
    return max(records, key=lambda record: record.version, default=None)


class Store:
    """Keeps one campaign on behalf of one process.

    Parameters
    ----------
    objects : Objects
        The namespace.
    folder : Path
        Where the file is.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self.objects, self.folder = objects, folder
        self.holder = me()
        self._renewed: datetime | None = None

    async def claim(self, campaign: Campaign, now: datetime, *, take_over: bool = False) -> None:
        """Become the one process that conducts this campaign, the namespace's only one.

        Raises
        ------
        BusyError
            Where another campaign is under way, or another process conducts this one.
        SpecError
            Where the file of a campaign that begins cannot be written.
        """
        item = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "labels": LABELS},
            "data": self._data(campaign, now),
        }
        if not await self.objects.create(item):
            found = await self.objects.get("configmaps", names=[NAME])
            if not found:
                raise BusyError("another campaign ended at this moment; run again")
            self.may(_kept(found[0]), campaign, now, take_over=take_over)
            data = self._data(campaign, now) | {"stop": None}
            await self._patch(data, found[0]["metadata"]["resourceVersion"])
        if (complaint := self.write(campaign)) and not campaign.version:
            await self.drop()
            raise SpecError(complaint)
        self._renewed = now

    @staticmethod
    def may(kept: Kept, campaign: Campaign, now: datetime, *, take_over: bool = False) -> None:
        """Refuse to touch another campaign, or one that another process conducts."""
        name = kept.campaign.name
        if name != campaign.name:
            raise BusyError(
                f"campaign {name} ({', '.join(kept.campaign.what.models)}) is under way in namespace "
                f"{kept.campaign.namespace}, and there is one at a time. 'grace campaign status' tells how "
                "far it is, 'grace campaign stop' ends it, and 'grace campaign run' without --models goes on"
            )
        if not take_over and kept.conducted(now):
            raise BusyError(
                f"campaign {name} is conducted by process {kept.holder}, last heard of at "
                f"{kept.renewed:%H:%M:%S} UTC. Wait for it, end it with 'grace campaign stop', or, if it is "
                "dead, say --take-over"
            )

    async def save(self, campaign: Campaign, now: datetime) -> str:
        """Keep a changed campaign in the cluster; why it should end, where the cluster has it no more.

        Raises
        ------
        BusyError
            Where another process has taken it over.
        ReleaseError
            Where the cluster does not answer.
        """
        if not await self._mine(self._data(campaign, now)):
            return GONE
        self._renewed = now
        return ""

    async def beat(self, now: datetime) -> str:
        """Say that this process lives, now and then; why somebody asked the campaign to end, or nothing."""
        found = await self.objects.get("configmaps", names=[NAME])
        if not found:
            return GONE
        self._check(found[0])
        if self._renewed is None or now - self._renewed >= RENEW:
            await self._mine({"renewed": now.isoformat()})
            self._renewed = now
        return str(found[0]["data"].get("stop", ""))

    async def let_go(self) -> None:
        """Leave the campaign in the cluster for another process."""
        await self._mine({"holder": ""})

    async def drop(self) -> None:
        """The campaign is over: nothing of it stays in the cluster."""
        await self.objects.delete("configmap", NAME)

    def write(self, campaign: Campaign) -> str:
        """Write the file; why it cannot be, or nothing: a full disk here must not keep GPUs held there."""
        try:
            with paths.replacing(self.folder / FILE) as new:
                new.write_text(campaign.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            return f"{self.folder / FILE} cannot be written ({why}); make room, or name another --out"
        return ""

    def _data(self, campaign: Campaign, now: datetime) -> dict[str, str]:
        return {FILE: campaign.model_dump_json(), "holder": self.holder, "renewed": now.isoformat()}

    def _check(self, item: Json) -> None:
        holder = item["data"].get("holder", "")
        if holder != self.holder:
            raise BusyError(
                f"process {holder or '(none)'} has taken this campaign over; this one ({self.holder}) does "
                "nothing more"
            )

    async def _mine(self, data: Json) -> bool:
        """Change the ConfigMap, as long as it is this process's; False where it is gone."""
        while True:
            found = await self.objects.get("configmaps", names=[NAME])
            if not found:
                return False
            self._check(found[0])
            try:
                await self._patch(data, found[0]["metadata"]["resourceVersion"])
                return True
            except ReleaseError as error:
                # Another process changed it between the two calls, such as to ask for a stop: read it again.
                if error.reason != "Conflict":
                    raise

    async def _patch(self, data: Json, version: str) -> None:
        await self.objects.patch("configmap", NAME, {"metadata": {"resourceVersion": version}, "data": data})


async def ask_to_stop(objects: Objects, reason: str) -> None:
    """Leave a request for the process that conducts the namespace's campaign."""
    await objects.patch("configmap", NAME, {"data": {"stop": reason}})
