"""The examples in the documentation, and the made-up answers they use."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from grace_client import analysis
from grace_client.analysis import compare, consistency, example, exclusions, quality, study1, study2
from grace_client.core.errors import SpecError

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(analysis.__path__, f"{analysis.__name__}.")
    if ">>>" in inspect.getsource(importlib.import_module(found.name))
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_real(name: str) -> None:
    """Every example of every module has the printed result."""
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


@pytest.mark.parametrize("module", [study1, study2, compare, quality, exclusions, consistency])
def test_every_public_function_has_an_example(module: object) -> None:
    """Every public function has an example."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    functions = [f for name in names if inspect.isfunction(f := getattr(module, name))]
    own = [f for f in functions if f.__module__.startswith(module.__name__)]  # type: ignore[attr-defined]
    assert len(own) >= 4
    assert [f.__name__ for f in own if ">>>" not in (f.__doc__ or "")] == []


def test_made_up_answers_are_answers() -> None:
    """Probabilities sum to 1, copies of a stimulus agree where names do not matter, seeds repeat."""
    for study, questions in (("study1", 5), ("study2", 1)):
        frame = example.scored(study)
        sums = frame.groupby(["trial_id", "question"])["prob_norm"].sum()
        assert sums.to_numpy() == pytest.approx(1) and len(sums) == questions * frame["trial_id"].nunique()
        copies = frame.groupby(["item", *frame.columns[6:8], "question", "option"])["prob_norm"]
        assert copies.nunique().max() == 1
        np.testing.assert_array_equal(example.scored(study)["prob_norm"], frame["prob_norm"])
        assert not example.scored(study, seed=1)["prob_norm"].equals(frame["prob_norm"])
        said = example.free(study, replicates=2)
        assert said.groupby("question").size().eq(2 * frame["trial_id"].nunique()).all()
    with pytest.raises(SpecError, match="there is no study 'study3'"):
        example.scored("study3")


def test_public_functions_have_numpy_sections() -> None:
    """Every function of `analysis` has parameters and results in its docstring."""
    for name in analysis.__all__:
        function = getattr(analysis, name)
        if inspect.isfunction(function):
            doc = ast.parse(inspect.getsource(function)).body[0]
            text = ast.get_docstring(doc) or ""  # type: ignore[arg-type]
            assert "Returns\n-------" in text, name


def test_no_module_hides_a_function() -> None:
    """A function of `analysis` is still a function after all modules were imported."""
    for name in MODULES:
        importlib.import_module(name)
    taken = {found.name for found in pkgutil.iter_modules(analysis.__path__)}
    functions = {name for name in analysis.__all__ if inspect.isfunction(getattr(analysis, name))}
    assert "wording" in functions and not functions & taken
