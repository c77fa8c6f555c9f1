"""Stores a campaign in a file, and while it runs in the one ConfigMap of its namespace.

With the ConfigMap there can be no second campaign in the namespace, and every machine can read it.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from grace_client.campaign.records import Campaign
from grace_client.core import paths
from grace_client.core.errors import BusyError, ReleaseError, SpecError
from grace_client.kube.kubectl import CONFLICT, Json, Kubectl

FILE = "campaign.json"
NAME = "grace-campaign"
LABELS = {"app.kubernetes.io/part-of": "grace", "app.kubernetes.io/component": "campaign"}

DELETED = f"somebody deleted ConfigMap {NAME} and so ended the campaign"
LEASE = timedelta(seconds=90)
"""How long a campaign belongs to a process after its last sign of life."""
RENEW = timedelta(seconds=20)
"""How often a process gives a sign of life."""
MAX_BYTES = 1_000_000
"""Most bytes of a campaign in its ConfigMap. Kubernetes allows 1,048,576, and the record grows a little."""


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """A campaign as the cluster stores it.

    Attributes
    ----------
    campaign : Campaign
        As last saved.
    holder : str
        The process that runs it, as `HOST:PID`; empty for none.
    renewed : datetime
        Last sign of life of that process.
    stop : str
        Why somebody asked it to stop; empty if nobody did.
    """

    campaign: Campaign
    holder: str
    renewed: datetime
    stop: str

    def has_process(self, now: datetime) -> bool:
        """Whether a process seems to run it."""
        if not self.holder or now - self.renewed > LEASE:
            return False
        host, _, pid = self.holder.rpartition(":")
        return host != socket.gethostname() or _alive(int(pid))

    def check_free(self, campaign: Campaign, now: datetime) -> None:
        """Refuse another campaign than this one, and a second process for this one.

        Raises
        ------
        BusyError
            With the commands that help.
        """
        name = self.campaign.name
        if name != campaign.name:
            raise BusyError(
                f"Campaign {name} ({', '.join(self.campaign.spec.models)}) is running in namespace "
                f"{self.campaign.namespace}. A namespace has one campaign at a time. 'grace campaign status' "
                "shows it, 'grace campaign stop' ends it, and 'grace campaign run' without --models "
                "continues it"
            )
        if self.has_process(now):
            raise BusyError(
                f"Process {self.holder} runs campaign {name}, and last reported at "
                f"{self.renewed:%H:%M:%S} UTC. Wait for it, or end the campaign with 'grace campaign stop'. "
                "If the process has ended, add --take-over"
            )


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
    """The campaign of a folder; None if there is none.

    Raises
    ------
    SpecError
        If the file is not a campaign.
    """
    try:
        return Campaign.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise SpecError(
            f"{folder / FILE} is not a campaign: {error.errors()[0]['msg']}. Use another folder with --out; "
            "grace reads a running campaign from the cluster"
        ) from None


async def read_cluster(kubectl: Kubectl) -> StoredCampaign | None:
    """The running campaign of the namespace; None if there is none."""
    found = await kubectl.get("configmaps", names=[NAME])
    return _stored(found[0]) if found else None


def _stored(item: Json) -> StoredCampaign:
    data = item["data"]
    try:
        campaign = Campaign.model_validate_json(data[FILE])
    except (KeyError, ValidationError):
        raise SpecError(
            f"This version of grace cannot read the campaign in ConfigMap {NAME}. Use the version that began "
            f"it. If no campaign is running: kubectl delete configmap {NAME}"
        ) from None
    renewed = datetime.fromisoformat(data["renewed"])
    return StoredCampaign(campaign, data.get("holder", ""), renewed, data.get("stop", ""))


def newer(stored: StoredCampaign | None, file: Campaign | None) -> Campaign | None:
    """The newer record of one campaign, from the cluster or from the file."""
    if stored is None or file is None:
        return stored.campaign if stored else file
    if file.name != stored.campaign.name:
        return stored.campaign
    return max(stored.campaign, file, key=lambda record: record.version)


class Store:
    """Stores one campaign on behalf of one process.

    Parameters
    ----------
    kubectl : Kubectl
        The namespace.
    folder : Path
        Folder of the file.
    """

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self.kubectl, self.folder = kubectl, folder
        self.holder = f"{socket.gethostname()}:{os.getpid()}"
        self._renewed: datetime | None = None

    async def acquire(self, campaign: Campaign, now: datetime, *, take_over: bool = False) -> None:
        """Become the one process that runs this campaign, the only one of the namespace.

        Raises
        ------
        BusyError
            If another campaign is running, or another process runs this one.
        SpecError
            If a new campaign is too large for a ConfigMap, or if its file cannot be written.
        """
        if not campaign.version and (size := len(campaign.to_json().encode())) > MAX_BYTES:
            raise SpecError(
                f"The campaign has {size} bytes with its study and trial lists, and the cluster stores at "
                f"most {MAX_BYTES}. Copy the lists to the input claim with 'grace upload', and name them "
                "with --set queries.trials.fromInput.STUDY=FILE"
            )
        item = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "labels": LABELS},
            "data": self._data(campaign, now),
        }
        if not await self.kubectl.create(item):
            found = await self.kubectl.get("configmaps", names=[NAME])
            if not found:
                raise BusyError("Another campaign ended at this moment. Run the command again")
            stored = _stored(found[0])
            if not take_over or stored.campaign.name != campaign.name:
                stored.check_free(campaign, now)
            data = self._data(campaign, now) | {"stop": None}
            await self._patch(data, found[0]["metadata"]["resourceVersion"])
        if (problem := self.write(campaign)) and not campaign.version:
            await self.delete()
            raise SpecError(problem)
        self._renewed = now

    async def save(self, campaign: Campaign, now: datetime) -> str:
        """Save a changed campaign in the cluster; why it should stop if the cluster no longer has it.

        Raises
        ------
        BusyError
            If another process has taken it over.
        ReleaseError
            If the cluster does not answer.
        """
        if not await self._change(self._data(campaign, now)):
            return DELETED
        self._renewed = now
        return ""

    async def renew(self, now: datetime) -> str:
        """Give a sign of life if it is time; why somebody asked the campaign to stop, or nothing."""
        found = await self.kubectl.get("configmaps", names=[NAME])
        if not found:
            return DELETED
        self._check_holder(found[0])
        if self._renewed is None or now - self._renewed >= RENEW:
            await self._change({"renewed": now.isoformat()})
            self._renewed = now
        return str(found[0]["data"].get("stop", ""))

    async def hand_over(self) -> None:
        """Leave the campaign in the cluster for another process."""
        await self._change({"holder": ""})

    async def delete(self) -> None:
        """Delete the campaign from the cluster: it is over."""
        await self.kubectl.delete("configmap", NAME)

    def write(self, campaign: Campaign) -> str:
        """Write the file; why it failed, or nothing: a full disk here must not keep GPUs in use there."""
        try:
            with paths.replacing(self.folder / FILE) as new:
                new.write_text(campaign.to_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            return f"{self.folder / FILE} cannot be written ({why}). Make room, or use another --out"
        return ""

    def _data(self, campaign: Campaign, now: datetime) -> dict[str, str]:
        return {FILE: campaign.to_json(), "holder": self.holder, "renewed": now.isoformat()}

    def _check_holder(self, item: Json) -> None:
        holder = item["data"].get("holder", "")
        if holder != self.holder:
            raise BusyError(
                f"Process {holder or '(none)'} has taken over this campaign. This process ({self.holder}) "
                "ends"
            )

    async def _change(self, data: Json) -> bool:
        """Change the ConfigMap while it belongs to this process; False if it is gone."""
        # Not one of the loops of `core.retry`: a conflict means that the other change is already made.
        while True:
            found = await self.kubectl.get("configmaps", names=[NAME])
            if not found:
                return False
            self._check_holder(found[0])
            try:
                await self._patch(data, found[0]["metadata"]["resourceVersion"])
                return True
            except ReleaseError as error:
                if error.reason != CONFLICT:
                    raise

    async def _patch(self, data: Json, version: str) -> None:
        await self.kubectl.patch("configmap", NAME, {"metadata": {"resourceVersion": version}, "data": data})


async def ask_to_stop(kubectl: Kubectl, reason: str) -> None:
    """Ask the process that runs the namespace's campaign to stop it."""
    await kubectl.patch("configmap", NAME, {"data": {"stop": reason}})
