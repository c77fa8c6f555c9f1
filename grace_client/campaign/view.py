"""What a campaign shows while it runs: read from a snapshot and its logs; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from grace_client.campaign.diagnose import Fault
from grace_client.campaign.records import Campaign, ModelState, Phase
from grace_client.campaign.snapshot import WEIGHTS, Snapshot
from grace_client.core.progress import ProgressLine


@dataclass(frozen=True, slots=True)
class View:
    """A campaign at one moment.

    Attributes
    ----------
    at : datetime
        The moment.
    campaign : Campaign
        The campaign.
    model : ModelState or None
        The current model.
    weights : str
        The last line in the log of the download.
    progress : dict of str to ProgressLine
        The latest progress of each experiment that has begun.
    faults : tuple of Fault
        The faults of the release.
    note : str
        A further sentence to show, such as that the cluster does not answer.
    """

    at: datetime
    campaign: Campaign
    model: ModelState | None
    weights: str = ""
    progress: dict[str, ProgressLine] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    note: str = ""

    def lines(self) -> list[str]:
        """The progress of download and experiments, one line each."""
        downloading = self.model is not None and self.model.phase is Phase.DOWNLOADING
        return [
            *([f"download: {self.weights}"] if self.weights and downloading else []),
            *(f"{one.task}: {one.done} of {one.total}" for _, one in sorted(self.progress.items())),
        ]


def view(campaign: Campaign, snapshot: Snapshot, faults: tuple[Fault, ...] = ()) -> View:
    """The view of a snapshot of the current model's release."""
    logs = [(container, container.log.splitlines()) for pod in snapshot.pods for container in pod.containers]
    downloads = [
        line for container, lines in logs if container.name == WEIGHTS for line in lines if line.strip()
    ]
    # A client with an older version of grace writes no such lines.
    found = [ProgressLine.from_line(line) for _, lines in logs for line in lines]
    return View(
        at=snapshot.at,
        campaign=campaign,
        model=campaign.current,
        weights=downloads[-1].strip() if downloads else "",
        progress={one.task: one for one in found if one},
        faults=faults,
    )
