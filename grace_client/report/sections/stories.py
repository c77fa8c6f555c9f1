"""Whose stories were asked, and that the human results are about the stories of the papers."""

from __future__ import annotations

from grace_client import stimuli, studies
from grace_client.report.runs import Material

STUDIES = {"study1": "Study 1", "study2": "Study 2"}
SOURCES = {"study1": "Goodman and Stuhlmüller", "study2": "Yoon and colleagues"}


def asked(material: Material) -> list[str]:
    """A sentence for each study: whose stories the models were asked, and whose the people were asked."""
    found = []
    for study, title in STUDIES.items():
        lists = [path for name, paths in material.lists.items() if name.startswith(study) for path in paths]
        if not lists:
            continue
        read = {one.sha256: one for one in map(studies.read_trials, lists)}.values()
        own, every = sum(stimuli.own(one) for one in read), sum(len(one.trials) for one in read)
        people = f"people in the human results were asked those of {SOURCES[study]}"
        if own == every:
            found.append(
                f"{title}: the models were asked grace's own stories; {people}. Where models and people "
                "differ, the stories may be the reason."
            )
        elif own == 0:
            found.append(
                f"{title}: the models were asked the stories of the trial list that was given; {people}. "
                "Whether they are the same is not known to grace."
            )
        else:
            found.append(
                f"{title}: the models were asked grace's own stories in {own:,} trials, and others in "
                f"{every - own:,}; {people}. Where models and people differ, the stories may be the reason."
            )
    return found
