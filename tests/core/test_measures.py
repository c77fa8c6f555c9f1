"""Summary measures, against scipy and by hand."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from grace_client.core import measures
from tests.conftest import ROOT

VALUES = np.arange(0, 101, 10)


@given(st.integers(0, 2**32))
def test_against_scipy(seed: int) -> None:
    """Mean, std, median and entropy of random distributions."""
    prob = np.random.default_rng(seed).dirichlet(np.full(11, 0.3))
    reference = scipy.stats.rv_discrete(values=(VALUES, prob))
    assert measures.mean(prob, VALUES) == pytest.approx(reference.mean())
    assert measures.std(prob, VALUES) == pytest.approx(reference.std(), abs=1e-6)
    assert measures.entropy(prob) == pytest.approx(scipy.stats.entropy(prob, base=2))
    assert measures.median(prob, VALUES) == reference.median()


def test_the_last_digit_is_not_the_machines() -> None:
    """Whichever instructions its linear algebra chooses: tables of two machines are equal byte for byte."""
    program = (
        "import hashlib, numpy as np; from grace_client.core import measures as m;"
        "p = np.random.default_rng(0).dirichlet(np.full(11, 0.2), 500); v = np.arange(0, 101, 10);"
        "print(hashlib.sha256(b''.join(f(x, v).tobytes() for x in p for f in (m.mean, m.std))).hexdigest())"
    )
    values = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"OPENBLAS_CORETYPE": kind},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for kind in ("", "Prescott")
    }
    assert len(values) == 1


def test_the_ends() -> None:
    """A certain answer has no entropy and no spread, a uniform one the most."""
    certain, uniform = np.eye(11)[3], np.full(11, 1 / 11)
    assert measures.entropy(certain) == 0.0
    assert not np.signbit(measures.entropy(certain))
    assert measures.std(certain, VALUES) == 0.0
    assert measures.mode(certain, VALUES) == 30
    assert measures.entropy(uniform) == pytest.approx(np.log2(11))
    assert measures.median([0.5, 0.5], [0, 10]) == 0


def test_vectorised_over_the_last_axis() -> None:
    """A stack of distributions gives a stack of results."""
    prob = np.random.default_rng(1).dirichlet(np.ones(11), size=(4, 5))
    for measure in (measures.mean, measures.std, measures.median, measures.mode):
        assert measure(prob, VALUES).shape == (4, 5)
        assert measure(prob, VALUES)[2, 3] == pytest.approx(measure(prob[2, 3], VALUES))
    assert measures.entropy(prob).shape == (4, 5)
