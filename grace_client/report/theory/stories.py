"""Whose stories the models and the people of the human results got."""

from __future__ import annotations

from grace_client import studies
from grace_client.report.runs import ReportData
from grace_client.studies import lists as trial_lists

STUDIES = {"study1": "Study 1", "study2": "Study 2"}
SOURCES = {"study1": "Goodman and Stuhlmüller", "study2": "Yoon and colleagues"}


def sources(data: ReportData) -> list[str]:
    """Sentences for each study: whose stories the models got, and whose the people got."""
    sentences = []
    for study, title in STUDIES.items():
        known = studies.named(study)
        lists = [
            studies.read_trials(path, known, checked=True)
            for name, paths in data.lists.items()
            if data.experiment(name).study.name == study
            for path in paths
        ]
        if not lists:
            continue
        read = {one.sha256: one for one in lists}.values()
        own, every = sum(trial_lists.own(one, known) for one in read), sum(len(one.trials) for one in read)
        people = f"The people in the human results got the stories of {SOURCES[study]}"
        reason = "Where models and people differ, the stories may be the reason."
        if own == every:
            text = f"the models got grace's own stories. {people}. {reason}"
        elif own == 0:
            text = (
                f"the models got the stories of your trial list. {people}. grace does not know whether these "
                "are the same."
            )
        else:
            text = (
                f"the models got grace's own stories in {own:,} trials, and others in {every - own:,}. "
                f"{people}. {reason}"
            )
        sentences.append(f"{title}: {text}")
    return sentences
