"""What a person sees of a campaign while it goes on: read out of a snapshot and its logs; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from grace_client.campaign.diagnose import Diagnosis
from grace_client.campaign.records import Campaign, ModelState
from grace_client.campaign.snapshot import QUERY, WEIGHTS, Snapshot

_DONE = re.compile(r"^(\S+): (\d+) of (\d+)", re.MULTILINE)
_BEGUN = re.compile(r"^(\S+) \(.*?(\d+) distinct, (\d+) to ask", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class View:
    """A campaign at one moment.

    Attributes
    ----------
    at : datetime
        The moment.
    campaign : Campaign
        As it is.
    model : ModelState or None
        The current one.
    weights : str
        The download's last word.
    questions : dict of str to (int, int)
        Of each experiment that has begun: answered questions and all.
    troubles : tuple of Diagnosis
        What is wrong.
    note : str
        What else there is to say, such as that the cluster does not answer.
    """

    at: datetime
    campaign: Campaign
    model: ModelState | None
    weights: str = ""
    questions: dict[str, tuple[int, int]] = field(default_factory=dict)
    troubles: tuple[Diagnosis, ...] = ()
    note: str = ""


def view(campaign: Campaign, snapshot: Snapshot, troubles: tuple[Diagnosis, ...] = ()) -> View:
    """What a snapshot of the current model's release shows."""
    return View(
        at=snapshot.at,
        campaign=campaign,
        model=campaign.current,
        weights=weights(snapshot),
        questions=questions(snapshot),
        troubles=troubles,
    )


def weights(snapshot: Snapshot) -> str:
    """The last line of the download."""
    logs = [c.log for pod in snapshot.pods for c in pod.containers if c.name == WEIGHTS and c.log]
    lines = [line for log in logs for line in log.splitlines() if line.startswith("weights: ")]
    return lines[-1].removeprefix("weights: ") if lines else ""


def questions(snapshot: Snapshot) -> dict[str, tuple[int, int]]:
    """Answered questions and all, of each experiment, out of the clients' own lines of progress."""
    found: dict[str, tuple[int, int]] = {}
    for pod in snapshot.pods:
        for container in pod.containers:
            if pod.component != QUERY and container.name == WEIGHTS:
                continue
            for name, total, left in _BEGUN.findall(container.log):
                found[name] = (int(total) - int(left), int(total))
            for name, done, total in _DONE.findall(container.log):
                found[name] = (int(done), int(total))
    return found
