"""The options of a campaign, for `grace campaign plan` and `grace campaign run`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from grace_client.cli._chart_options import Set, SetFile, SetString

if TYPE_CHECKING:
    from grace_client.campaign.records import Spec


def names(text: str) -> list[str]:
    """The names in a list such as ``gemma-2b,llama-70b``."""
    return [name.strip() for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class CampaignOptions:
    """The models, experiments and limits of a campaign. Each field is an option of the command line."""

    models: Annotated[
        str | None,
        typer.Option(help="Models, separated by commas, such as gemma-2b,llama-70b.", show_default=False),
    ] = None
    gpu: Annotated[
        str,
        typer.Option(
            help="Use this kind of GPU for all models, such as rtx-3090 (a file in values/gpus). Default: as "
            "in each model's values.",
            show_default=False,
        ),
    ] = ""
    budget_hours: Annotated[
        float | None,
        typer.Option(help="Budget of the whole campaign, in GPU-hours. Default: 216.", show_default=False),
    ] = None
    over_budget: Annotated[
        bool,
        typer.Option(
            "--over-budget", help="Run even if --budget-hours is over 250, or the plan is over the budget."
        ),
    ] = False
    model_hours: Annotated[
        float | None,
        typer.Option(
            help="How many hours one model may use its GPUs. Two GPUs for one hour count as one hour. "
            "Default: 24.",
            min=0,
            show_default=False,
        ),
    ] = None
    registry: Annotated[
        str,
        typer.Option(
            help="Registry to which you pushed grace's image (scripts/image), such as registry.example/you.",
            show_default=False,
        ),
    ] = ""
    study: Annotated[
        Path | None,
        typer.Option(
            help="Ask the experiments of this study file (YAML). Default: grace's own two studies.",
            show_default=False,
        ),
    ] = None
    trials: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trial list (CSV, .xlsx or Parquet), one for each study. Default: the study's own list.",
            show_default=False,
        ),
    ] = None
    experiments: Annotated[
        str,
        typer.Option(
            help="Run only these experiments, separated by commas. Default: as in the values.",
            show_default=False,
        ),
    ] = ""
    sample: Annotated[
        int, typer.Option(help="Ask only this many trials of each list, drawn at random. 0 asks all.", min=0)
    ] = 0
    ways: Annotated[
        str,
        typer.Option(
            help="Ask the scored experiments in several of the ways that the study file declares: see "
            "'grace run --ways'.",
            show_default=False,
        ),
    ] = ""
    sets: Set = None
    set_string: SetString = None
    set_file: SetFile = None
    values_folder: Annotated[
        Path | None,
        typer.Option(help="Folder with the models' values files. Default: grace's own.", show_default=False),
    ] = None

    def spec(self, models: str, fallback: str = "") -> Spec:
        """The spec of the campaign. It does not change while the campaign runs.

        Parameters
        ----------
        models : str
            Names of models, separated by commas.
        fallback : str
            Other kinds of GPU for later attempts, separated by commas.

        Raises
        ------
        SpecError
            If a model, an experiment or a kind of GPU does not exist, or if the study or a list has faults.
        """
        from grace_client.campaign import settings
        from grace_client.cli.campaign import _study
        from grace_client.deploy.values import chart_folder, read_values, values_folder
        from grace_client.kube.helm import Assignments

        study = _study.read(self.study)
        shipped = read_values(chart_folder() / "values.yaml")["queries"]["experiments"]
        wanted = names(self.experiments)
        sets: dict[str, Any] = {"queries.image.registry": self.registry} if self.registry else {}
        sets |= _study.values(study, self.trials or ())
        every = _study.experiments(study, wanted, tuple(shipped))
        for name, asked in every.items():
            if wanted:
                sets[f"queries.experiments.{name}.enabled"] = asked
            if self.sample:
                sets[f"queries.experiments.{name}.sample"] = self.sample
        usual = [name for name, own in shipped.items() if own["enabled"]] if study is None else [*every]
        run = [name for name, asked in every.items() if asked] if wanted else usual
        for name in _study.in_ways(study, run, self.ways):
            sets[f"queries.experiments.{name}.ways"] = self.ways
        return settings.describe(
            names(models),
            folder=self.values_folder or values_folder(),
            gpu=self.gpu,
            fallbacks=names(fallback),
            sets=sets,
            assignments=Assignments.of(self.sets, self.set_string, self.set_file),
        )


def with_campaign_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `CampaignOptions` to a Typer command. The command gets them as `options`."""
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
