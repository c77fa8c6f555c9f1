"""The load of a release's experiments on its server, for the estimates of `grace campaign`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grace_client.campaign.estimate import Assumptions, Load
from grace_client.core.errors import SpecError
from grace_client.deploy import study as studies_of

if TYPE_CHECKING:
    from grace_client.core.trials import TrialList
    from grace_client.studies.declaration import Experiment, Study


def loads(values: Mapping[str, Any], assumptions: Assumptions) -> list[Load]:
    """The load of every enabled experiment.

    Parameters
    ----------
    values : mapping
        All values of the chart. A trial list on the input claim cannot be read here: the study's own list
        counts instead.
    assumptions : Assumptions
        Among others, the number of characters in a token.

    Raises
    ------
    SpecError
        If the study is on the input claim, or has no list that can be read here.
    """
    from grace_client.run import workload

    known = _experiments(values)
    reasons = bool(values["model"]["reasoningParser"])
    found = []
    for name in studies_of.experiments(values):
        experiment, own = known(name), studies_of.settings(values, name)
        names = {"replicates": "replicates", "maxTokens": "max_tokens"}
        work = workload.count(
            experiment,
            _list(experiment.study, studies_of.trials(values, experiment.study.name)),
            sample=own.get("sample") or None,
            ways=str(own.get("ways") or ""),
            sampling={field: int(own[key]) for key, field in names.items() if key in own},
            thinks=reasons and own.get("reasoning", "") in ("", "on", True),
            characters_per_token=assumptions.characters_per_token,
            block_size=assumptions.block_size,
        )
        found.append(Load(name, work.questions, work.prompt_tokens, work.answer_tokens))
    return found


def _experiments(values: Mapping[str, Any]) -> Callable[[str], Experiment]:
    """From the name of an experiment of these values to the experiment."""
    from grace_client import studies

    own = studies_of.study_file(values)
    if own is None:
        return studies.experiment
    if not own.text:
        raise SpecError(
            f"{studies_of.FROM_INPUT} names a file on the cluster, so its questions cannot be counted here. "
            "Name the study file with --study"
        )
    return _study(own.text, tuple(own.files.items())).experiments.__getitem__


@lru_cache
def _study(text: str, files: tuple[tuple[str, str], ...]) -> Study:
    from grace_client.studies import file

    raw = {name: content.encode() for name, content in files}
    return file.parse(text.encode(), path=studies_of.TEXT, beside=raw.__getitem__)


@lru_cache
def _list(study: Study, text: str) -> TrialList:
    from grace_client.core import trials
    from grace_client.studies import lists

    if not text:
        return lists.default(study)
    return trials.parse(text.encode(), path=f"queries.trials.{study.name}", schemas=[study.schema])
