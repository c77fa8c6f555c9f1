"""What is kept of a campaign: what it runs, where each model is, and what its pods held."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from grace_client.campaign.estimate import BUDGET_HOURS, MODEL_HOURS
from grace_client.core.reasoning import EARLIER_REASONING
from grace_client.kube.helm import NO_ASSIGNMENTS, Assignments


class Phase(StrEnum):
    """Where a model is."""

    PLANNED = "planned"
    CHECKED = "checked"
    INSTALLING = "installing"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    QUERYING = "querying"
    FETCHING = "fetching"
    UNINSTALLING = "uninstalling"
    FREED = "freed"
    DONE = "done"
    FAILED = "failed"


WATCHED = (Phase.QUEUED, Phase.DOWNLOADING, Phase.LOADING, Phase.QUERYING)
"""Phases in which the cluster works and the campaign looks on."""
INSTALLED = (Phase.INSTALLING, *WATCHED, Phase.FETCHING, Phase.UNINSTALLING)
"""Phases in which a pod of the model may hold a GPU."""
OVER = (Phase.DONE, Phase.FAILED)


SKEW = timedelta(minutes=1)
"""How far the clocks that tell of installs and of pods may lie apart. A pod of the install before is older,
or was there for less than that.
"""


class Why(StrEnum):
    """Why a model is uninstalled."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    FALLBACK = "fallback"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hold(_Part):
    """A pod that held GPUs.

    Attributes
    ----------
    uid, pod : str
        Which.
    gpus : int
        How many.
    since : datetime
        When it got its node.
    until : datetime or None
        When it ended; of a pod that is gone, when that was first known. None while it holds them.
    """

    uid: str
    pod: str
    gpus: int
    since: datetime
    until: datetime | None = None

    def gpu_hours(self, now: datetime) -> float:
        """GPU-hours up to now."""
        return self.gpus * max((self.until or now) - self.since, timedelta()) / timedelta(hours=1)


class ModelState(_Part):
    """A model of a campaign.

    Attributes
    ----------
    model : str
        Its short name, and that of its release.
    phase : Phase
        Where it is.
    overlay : str
        The overlay that it is on; empty for the GPUs of its own values.
    tried : tuple of str
        Overlays that it was on before, whose GPUs could not be had.
    begun : datetime or None
        When it was last begun to be installed.
    answered : bool
        Whether all its Jobs have succeeded, so that only its results are to be brought home.
    outcome : Why or None
        Why it is being uninstalled.
    reason, next : str
        What went wrong, and the next command.
    notes : tuple of str
        What else a reader must know, such as GPUs that could not be had.
    waiting_since : datetime or None
        Since when it waits for GPUs.
    queue_seconds : float
        How long it waited, waits that are over.
    holds : tuple of Hold
        Every pod of it that held GPUs.
    results : tuple of str
        Folders with its results, once fetched.
    """

    model: str
    phase: Phase = Phase.PLANNED
    overlay: str = ""
    tried: tuple[str, ...] = ()
    begun: datetime | None = None
    answered: bool = False
    outcome: Why | None = None
    reason: str = ""
    next: str = ""
    notes: tuple[str, ...] = ()
    waiting_since: datetime | None = None
    queue_seconds: float = 0.0
    holds: tuple[Hold, ...] = ()
    results: tuple[str, ...] = ()

    def gpu_hours(self, now: datetime) -> float:
        """GPU-hours that its pods held up to now."""
        return sum(hold.gpu_hours(now) for hold in self.holds)

    def held_hours(self, now: datetime) -> float:
        """Hours for which it held its GPUs since it was last begun to be installed."""
        own = [hold for hold in self.holds if self.begun is None or hold.since >= self.begun - SKEW]
        return sum(hold.gpu_hours(now) / hold.gpus for hold in own)

    def queued(self, now: datetime) -> float:
        """Seconds that it waited for GPUs."""
        waiting = (now - self.waiting_since).total_seconds() if self.waiting_since else 0.0
        return self.queue_seconds + max(waiting, 0.0)


class What(_Part):
    """What a campaign runs. Another one is another campaign.

    Attributes
    ----------
    models : tuple of str
        Short names, in order.
    gpu : str
        Overlay that lies on every model; empty for none.
    sets : dict
        Single values for every model, by dotted key.
    assignments : Assignments
        What the user assigns with `--set` and the like, for every model; wins over `sets`.
    documents : dict of str to str
        Text of each model's values file.
    overlays : dict of str to str
        Text of each overlay that the campaign may lay over them.
    """

    models: tuple[str, ...]
    gpu: str = ""
    sets: dict[str, Any] = Field(default_factory=dict)
    assignments: Assignments = NO_ASSIGNMENTS
    documents: dict[str, str] = Field(default_factory=dict)
    overlays: dict[str, str] = Field(default_factory=dict)

    @field_validator("sets")
    @classmethod
    def _renamed(cls, sets: dict[str, Any]) -> dict[str, Any]:
        # Earlier versions kept values of --set here.
        return {
            key: EARLIER_REASONING.get(value, value) if key.endswith(".reasoning") else value
            for key, value in sets.items()
        }


class Limits(_Part):
    """Bounds, which may change while a campaign goes on.

    Attributes
    ----------
    budget_hours : float
        GPU-hours of the whole campaign.
    model_hours : float
        Hours for which one model may hold GPUs.
    queue_minutes : float
        Minutes to wait for GPUs before the next choice.
    fallbacks : tuple of str
        Overlays to try then, in order.
    fetch : bool
        Whether results are brought home before a model is uninstalled.
    """

    budget_hours: float = BUDGET_HOURS
    model_hours: float = MODEL_HOURS
    queue_minutes: float = 120.0
    fallbacks: tuple[str, ...] = ()
    fetch: bool = True


class Campaign(_Part):
    """A campaign as the file and the cluster keep it.

    Attributes
    ----------
    format : int
        Of this record.
    name, namespace : str
        What it is called, and where it runs.
    created : datetime
        When it began.
    version : int
        Counts changes; of two records the higher one is newer.
    what, limits : What, Limits
        What it runs, and within which bounds.
    models : tuple of ModelState
        In order.
    stopping : str
        Why it is to stop; empty while it goes on.
    """

    format: int = 1
    name: str
    namespace: str
    created: datetime
    version: int = 0
    what: What
    limits: Limits = Limits()
    models: tuple[ModelState, ...]
    stopping: str = ""

    @property
    def current(self) -> ModelState | None:
        """The model that is at work or comes next; None where all are over."""
        return next((model for model in self.models if model.phase not in OVER), None)

    def gpu_hours(self, now: datetime) -> float:
        """GPU-hours that were held up to now."""
        return sum(model.gpu_hours(now) for model in self.models)

    def choices(self) -> tuple[str, ...]:
        """GPUs to try, in order; empty for those of the model's own values."""
        return tuple(dict.fromkeys((self.what.gpu, *self.limits.fallbacks)))

    def left(self, model: ModelState) -> tuple[str, ...]:
        """Overlays that a model can still fall back to."""
        return tuple(name for name in self.choices() if name not in (model.overlay, *model.tried))
