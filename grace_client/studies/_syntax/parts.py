"""Parts of a study file that a file about people's answers has too."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from grace_client.studies._syntax.values import FileName, Name, Text, Texts


class Part(BaseModel):
    """A mapping of the format: no other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Part):
    """What a study is taken from."""

    text: Text
    doi: Text | None = None
    url: Text | None = None


class People(Part):
    """Answers of people, or of a model that another tool asked: a file, and what its columns mean.

    `grace_client.analysis.people` says what each key means.
    """

    file: FileName
    """A table beside this file."""
    experiment: Text | None = None
    """The experiment that they took part in. Without it: each one whose questions the file answers."""
    name: Text = "people"
    """What tables and figures call them."""
    answers: dict[Name, Text | tuple[Text, ...] | dict[Text, Text]] | None = None
    """For each question the column of its answer, or one for each option."""
    columns: dict[Text, Text] = Field(default_factory=dict)
    """Names in the file of conditions, columns of the list, and of `participant`, `item`, `trial_id`."""
    values: dict[Text, Text] = Field(default_factory=dict)
    """The options for which other texts in the cells stand."""
    missing: Texts = ()
    """Texts that mean "no answer"."""
    exclude: Texts = ()
    """Columns with reasons to leave a row out."""
    count: Text | None = None
    """Column that says how many gave an answer."""
    source: Source | None = None
