"""What a person reads at the end of a run."""

from __future__ import annotations

import pandas as pd
import pytest

from grace_client.cli.summary import cell_means
from tests.analysis.test_distributions import long_table


def test_cell_means_count_distinct_answers() -> None:
    """Trials that share a stimulus are one observation: n and n_distinct are both there."""
    long = long_table([[0.2, 0.8], [0.2, 0.8], [0.6, 0.4]])
    conditions = pd.DataFrame({"access": ["1", "1", "1"]}, index=pd.Index([1, 2, 3], name="trial_id"))
    means = cell_means(long, conditions)
    assert means["prob_norm"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert means["n"].tolist() == [3, 3]
    assert means["n_distinct"].tolist() == [2, 2]
