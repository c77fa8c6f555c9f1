"""The record of a campaign: what it runs, the phase of each model, and the GPUs that its pods used.

The file `campaign.json` and the ConfigMap contain it as JSON. Both keep the keys of format 1 (`what`,
`holds`), so that every version of grace reads them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from grace_client.campaign.estimate import BUDGET_HOURS, MODEL_HOURS
from grace_client.core.reasoning import EARLIER_REASONING
from grace_client.kube.helm import NO_ASSIGNMENTS, Assignments


class Phase(StrEnum):
    """How far a model is."""

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
"""Phases in which the cluster works and the campaign observes it."""
INSTALLED = (Phase.INSTALLING, *WATCHED, Phase.FETCHING, Phase.UNINSTALLING)
"""Phases in which a pod of the model may use a GPU."""
ENDED = (Phase.DONE, Phase.FAILED)


SKEW = timedelta(minutes=1)
"""How far the clocks of installs and of pods may differ. A pod of the install before is older than that, or
used its GPUs for less.
"""


class Outcome(StrEnum):
    """Why a model is uninstalled."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    FALLBACK = "fallback"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GpuUse(_Part):
    """The time for which a pod used GPUs.

    Attributes
    ----------
    uid, pod : str
        The pod's uid and name.
    gpus : int
        Number of its GPUs.
    since : datetime
        When it was scheduled on a node.
    until : datetime or None
        When it ended, or was first known to be gone; None while it uses them.
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
        Short name of the model and name of its release.
    phase : Phase
        How far it is.
    overlay : str
        The GPU overlay in use; empty for the GPUs of the model's own values.
    tried : tuple of str
        Overlays in use before, whose GPUs were not available.
    begun : datetime or None
        When its latest install began.
    answered : bool
        Whether all its Jobs have succeeded: only its results must still be fetched.
    outcome : Outcome or None
        Why it is being uninstalled.
    reason, next : str
        What went wrong, and the next command.
    notes : tuple of str
        What else to know, such as GPUs that were not available.
    waiting_since : datetime or None
        Start of the current wait for GPUs.
    queue_seconds : float
        Sum of the earlier waits for GPUs, in seconds.
    gpu_uses : tuple of GpuUse
        Every pod of it that used GPUs.
    results : tuple of str
        Folders of its results, once fetched.
    """

    model: str
    phase: Phase = Phase.PLANNED
    overlay: str = ""
    tried: tuple[str, ...] = ()
    begun: datetime | None = None
    answered: bool = False
    outcome: Outcome | None = None
    reason: str = ""
    next: str = ""
    notes: tuple[str, ...] = ()
    waiting_since: datetime | None = None
    queue_seconds: float = 0.0
    gpu_uses: tuple[GpuUse, ...] = Field(
        default=(), validation_alias=AliasChoices("holds", "gpu_uses"), serialization_alias="holds"
    )
    results: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The model's name, with the overlay in use."""
        return f"{self.model} on {self.overlay}" if self.overlay else self.model

    def gpu_hours(self, now: datetime) -> float:
        """GPU-hours of its pods up to now."""
        return sum(use.gpu_hours(now) for use in self.gpu_uses)

    def installed_hours(self, now: datetime) -> float:
        """Hours for which it used its GPUs since its latest install began."""
        own = [use for use in self.gpu_uses if self.begun is None or use.since >= self.begun - SKEW]
        return sum(use.gpu_hours(now) / use.gpus for use in own)

    def queued(self, now: datetime) -> float:
        """Seconds for which it waited for GPUs."""
        waiting = (now - self.waiting_since).total_seconds() if self.waiting_since else 0.0
        return self.queue_seconds + max(waiting, 0.0)


class Spec(_Part):
    """What a campaign runs. A campaign with another spec is another campaign.

    Attributes
    ----------
    models : tuple of str
        Short names, in order.
    gpu : str
        GPU overlay for every model; empty for none.
    sets : dict
        Single values for every model, by dotted key.
    assignments : Assignments
        What the user assigns with `--set` and the like, for every model; wins over `sets`.
    documents : dict of str to str
        Text of each model's values file.
    overlays : dict of str to str
        Text of each overlay that the campaign may use.
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

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Earlier versions do not know the key, and can go on with a campaign that does without.
        found: dict[str, Any] = handler(self)
        if self.assignments == NO_ASSIGNMENTS:
            found.pop("assignments", None)
        return found


class Limits(_Part):
    """Limits of a campaign, which may change while it goes on.

    Attributes
    ----------
    budget_hours : float
        GPU-hours of the whole campaign.
    model_hours : float
        Hours for which one model may use GPUs.
    queue_minutes : float
        Minutes to wait for GPUs before the next overlay is tried.
    fallbacks : tuple of str
        Overlays to try then, in order.
    fetch : bool
        Whether results are fetched before a model is uninstalled.
    """

    budget_hours: float = BUDGET_HOURS
    model_hours: float = MODEL_HOURS
    queue_minutes: float = 120.0
    fallbacks: tuple[str, ...] = ()
    fetch: bool = True


class Campaign(_Part):
    """A campaign as the file and the cluster store it.

    Attributes
    ----------
    format : int
        Format of this record.
    name, namespace : str
        Name of the campaign, and its namespace.
    created : datetime
        When it began.
    version : int
        Number of changes; of two records the higher one is newer.
    spec, limits : Spec, Limits
        What it runs, and its limits.
    models : tuple of ModelState
        Its models, in order.
    stopping : str
        Why it is to stop; empty while it goes on.
    """

    format: int = 1
    name: str
    namespace: str
    created: datetime
    version: int = 0
    spec: Spec = Field(validation_alias=AliasChoices("what", "spec"), serialization_alias="what")
    limits: Limits = Limits()
    models: tuple[ModelState, ...]
    stopping: str = ""

    @property
    def current(self) -> ModelState | None:
        """The model in progress, or the next one; None if all have ended."""
        return next((model for model in self.models if model.phase not in ENDED), None)

    def gpu_hours(self, now: datetime) -> float:
        """GPU-hours used up to now."""
        return sum(model.gpu_hours(now) for model in self.models)

    def overlays_left(self, model: ModelState) -> tuple[str, ...]:
        """Overlays that a model can still fall back to, in order; empty text for the model's own GPUs."""
        choices = dict.fromkeys((self.spec.gpu, *self.limits.fallbacks))
        return tuple(name for name in choices if name not in (model.overlay, *model.tried))

    def to_json(self, *, indent: int | None = None) -> str:
        """The record as it is stored."""
        return self.model_dump_json(by_alias=True, indent=indent)
