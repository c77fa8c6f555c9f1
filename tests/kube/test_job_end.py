"""How a Job ended, by its conditions, for the campaign, the transfer and autostop alike."""

from __future__ import annotations

from typing import Any

import pytest

from grace_client.kube import job_end


def job(*true: str) -> dict[str, Any]:
    """A Job with these conditions true, and one that is false."""
    conditions = [{"type": kind, "status": "True"} for kind in true]
    return {"status": {"conditions": [{"type": "Failed", "status": "False"}, *conditions]}}


@pytest.mark.parametrize(
    ("conditions", "end", "ending"),
    [
        ((), None, False),
        (("Suspended",), None, False),
        (("FailureTarget",), None, True),
        (("SuccessCriteriaMet",), None, True),
        (("SuccessCriteriaMet", "Complete"), "Complete", True),
        (("FailureTarget", "Failed"), "Failed", True),
    ],
)
def test_the_end_of_a_job(conditions: tuple[str, ...], end: str | None, ending: bool) -> None:
    """A Job has ended when Kubernetes says so; until then its pods may still write."""
    found = job_end.end(job(*conditions))
    assert (found and found["type"]) == end
    assert job_end.ending(job(*conditions)) is ending


def test_a_job_without_a_status() -> None:
    """A new Job has neither."""
    assert job_end.end({}) is None and not job_end.ending({"status": {"conditions": None}})
