"""The options that describe a campaign: `plan` and `run` share them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from grace_client.cli._chart_options import Set, SetFile, SetString
from grace_client.core.errors import SpecError

if TYPE_CHECKING:
    from grace_client.campaign.records import Spec


def names(text: str) -> list[str]:
    """The names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class CampaignOptions:
    """What a campaign runs, and its limits; each field is an option of the command line."""

    models: Annotated[
        str | None, typer.Option(help="Short names of models, separated by commas.", show_default=False)
    ] = None
    gpu: Annotated[str, typer.Option(help="GPU overlay for all models, such as rtx-3090 (values/gpus).")] = ""
    budget_hours: Annotated[
        float | None, typer.Option(help="GPU-hours for the whole campaign. Default: 216.", show_default=False)
    ] = None
    over_budget: Annotated[
        bool,
        typer.Option("--over-budget", help="Allow a budget over 250 GPU-hours, or a plan over the budget."),
    ] = False
    model_hours: Annotated[
        float | None,
        typer.Option(help="Hours for which one model may use GPUs. Default: 24.", min=0, show_default=False),
    ] = None
    registry: Annotated[str, typer.Option(help="Registry of the client image (queries.image.registry).")] = ""
    experiments: Annotated[str, typer.Option(help="Only these experiments, separated by commas.")] = ""
    sample: Annotated[
        int, typer.Option(help="Number of trials to draw from each list; 0 for all.", min=0)
    ] = 0
    sets: Set = None
    set_string: SetString = None
    set_file: SetFile = None
    values_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of models' values files. Default: grace's own.", show_default=False),
    ] = None

    def spec(self, models: str, fallback: str = "") -> Spec:
        """The part of the campaign that never changes.

        Parameters
        ----------
        models : str
            Short names of models, separated by commas.
        fallback : str
            GPU overlays for later attempts, separated by commas.

        Raises
        ------
        SpecError
            For a model, an experiment or an overlay that does not exist.
        """
        from grace_client.campaign import settings
        from grace_client.deploy.values import chart_folder, read_values, values_folder
        from grace_client.kube.helm import Assignments

        known = read_values(chart_folder() / "values.yaml")["queries"]["experiments"]
        wanted = names(self.experiments)
        if strange := [name for name in wanted if name not in known]:
            raise SpecError(f"There is no experiment {', '.join(strange)}. Experiments: {', '.join(known)}")
        sets: dict[str, Any] = {"queries.image.registry": self.registry} if self.registry else {}
        for name in known if wanted else ():
            sets[f"queries.experiments.{name}.enabled"] = name in wanted
        for name in known if self.sample else ():
            sets[f"queries.experiments.{name}.sample"] = self.sample
        return settings.describe(
            names(models),
            folder=self.values_folder or values_folder(),
            gpu=self.gpu,
            fallbacks=names(fallback),
            sets=sets,
            assignments=Assignments.of(self.sets, self.set_string, self.set_file),
        )


def with_campaign_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command of Typer the options of `CampaignOptions`; it gets them as its argument `options`."""
    shared = inspect.signature(CampaignOptions).parameters
    hints = get_type_hints(command, include_extras=True) | get_type_hints(
        CampaignOptions, include_extras=True
    )

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        command(options=CampaignOptions(**{name: given.pop(name) for name in shared}), **given)

    own = dict(inspect.signature(command).parameters)
    del own["options"]
    parameters = [
        one.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in (shared | own).items()
    ]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
