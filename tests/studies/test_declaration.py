"""What every experiment declares of its wide table."""

from __future__ import annotations

import numpy as np
import pytest

from grace_client import studies
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment

SCORED = [experiment for experiment in studies.experiments().values() if experiment.scored]


@pytest.mark.parametrize("experiment", SCORED, ids=lambda experiment: experiment.name)
def test_option_columns_and_measures_cover_the_table(experiment: Experiment) -> None:
    """Each column comes from one question; a sure answer is 1 in its option's column and 0 in the others'."""
    trial = lists.default(studies.named(experiment.schema.study)).trials[0]
    columns: list[str] = []
    for question in experiment.questions(trial):
        assert question.options is not None
        sure = np.eye(len(question.options.names))
        cells = [experiment.cells(question.name, row) for row in sure]
        own = experiment.option_columns[question.name]
        assert np.array([[cell[column] for column in own] for cell in cells]).tolist() == sure.tolist()
        columns += cells[0]
    assert sorted(columns) == sorted(experiment.columns)
