"""Factors of Studies 1 and 2 as their figures name them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client.analysis._data.layout import require
from grace_client.analysis.figures import _style

SEEN = ("1", "2", "3")
"""Levels of access and observe."""
STATES = ("0 hearts", "1 heart", "2 hearts", "3 hearts")
GOALS = {"both": "goal: both", "social": "goal: kind", "informational": "goal: informative"}
UTTERANCES = {
    f"{frame}_{adjective}": f"{said} {adjective}"
    for frame, said in (("was", "was"), ("wasnt", "wasn’t"))
    for adjective in ("terrible", "bad", "good", "amazing")
}
STUDY1_INTERVAL = "Vertical lines: 95% intervals over stories."
STUDY2_INTERVAL = "Vertical lines: 95% intervals over domains."


def tidy(frame: pd.DataFrame, columns: list[str], *, source: str | None = None) -> pd.DataFrame:
    """A copy with readable, ordered factors; `source` names rows without a model."""
    frame = frame if source is None else frame.assign(model=source)
    require(frame, ["model", *columns], "the figure's table")
    frame = _style.models(frame) if source is None else frame
    if {"access", "observe"} <= set(columns):
        frame["saw"] = _named(frame["access"], "saw {} of 3")
        frame["says"] = _named(frame["observe"], "says “{}”")
    if "goal" in columns:
        frame["goal"] = pd.Categorical(frame["goal"].map(GOALS), categories=list(GOALS.values()))
        frame["state"] = pd.Categorical(frame["state"], categories=list(STATES))
    if "utterance" in columns:
        frame["utterance"] = pd.Categorical(
            frame["utterance"].map(UTTERANCES), categories=list(UTTERANCES.values())
        )
    return frame


def _named(column: pd.Series, text: str) -> Any:
    """A factor of Study 1 in words."""
    return pd.Categorical(column.astype(str).map(text.format), categories=[text.format(n) for n in SEEN])
