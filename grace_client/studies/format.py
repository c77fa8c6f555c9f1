"""The format of a study file: its keys, as pydantic models.

The models hold what one value alone decides. What several values decide together (names that exist, templates
that render) is decided where the study is built from them, with the same kind of error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from grace_client.studies._syntax.parts import Part, People, Source
from grace_client.studies._syntax.values import (
    SCALAR,
    Also,
    Condition,
    FileName,
    LevelName,
    Name,
    OrOne,
    StudyName,
    Template,
    Text,
    Texts,
)
from grace_client.studies.ways import ORDER

FORMAT = 1
"""Version of the format."""

MAX_RANGE = 100_000
"""Most whole numbers that an answer in free text may be."""

MAX_OPTIONS = 1000
MAX_FORMS = 2000
"""Most options of a set, and most forms of all of them together."""


def _sources(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


# --- Trial list ------------------------------------------------------------------------------------------


class Level(Part):
    """How a level of a factor is read from the text of a column."""

    has: Text
    """The text contains this."""
    pattern: Text | None = None
    """The whole text of a new list has this form; named groups become variables."""
    example: Text | None = None
    """For the error message: a text of this form."""


def _levels(value: Any) -> Any:
    return (
        {k: {"has": v} if isinstance(v, str) else v for k, v in value.items()}
        if isinstance(value, dict)
        else value
    )


class Column(Part):
    """A column of the trial list."""

    aliases: Texts = ()
    """Other accepted names."""
    values: tuple[Text, ...] = ()
    """Allowed values. Without them, every text that is not empty is allowed."""
    levels: Annotated[
        dict[Name, Level],
        BeforeValidator(_levels),
        Also({"type": "object", "additionalProperties": SCALAR}),
    ] = Field(default_factory=dict)
    """Levels of a factor, read from the text. The first that fits counts."""
    pattern: Text | None = None
    """The whole text has this form (a regular expression). Named groups become variables."""
    example: Text | None = None
    """For the error message: a text with this form."""
    find: Texts = ()
    """Patterns that may stand in the text. Named groups of those that do become variables."""
    default: Template | None = None
    """The text if the list does not have this column."""
    breaks: bool = False
    """`<br>` is a line break."""
    only: Texts = ()
    """Experiments that show this column. Without it: all."""


class Check(Part):
    """A condition between the columns of a row."""

    column: Name
    """The column that gets the blame."""
    that: Condition
    otherwise: Template
    """What is wrong, after the column's name."""
    doubt: bool = False
    """The list is used all the same, with a note."""


class Drawn(Part):
    """Different names that are drawn for each trial."""

    as_: Annotated[tuple[Name, ...], Field(alias="as")]
    """The variables that get one name each."""
    names: tuple[Text, ...]


class Make(Part):
    """How `grace trials make` writes a balanced list: every participant sees each item once."""

    participants: Annotated[int, Field(ge=1, le=100_000)]
    """Number of participants if the user names none."""
    items: Annotated[tuple[dict[Name, Text], ...], Field(min_length=1)]
    cells: Annotated[tuple[dict[Name, Text], ...], Field(min_length=1)] | dict[Name, tuple[Text, ...]]
    """Conditions: a list of cells, or factors that are crossed. A participant sees each equally often."""
    draw: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    """Texts that are drawn for each participant, without repetition as long as there are others."""
    people: Drawn | None = None
    """Names that are drawn for each trial."""
    columns: dict[Name, Template]
    """The text of each column, from an item's and a cell's values, what was drawn, and `participant`."""


class Trials(Part):
    """The trial list of a study."""

    columns: Annotated[dict[Name, Column | None], Field(min_length=1)]
    file: FileName | None = None
    """The list, beside the study file."""
    make: Make | None = None
    participant: Name | None = None
    item: Name | None = None
    same_for_item: Texts = ()
    """Columns whose text is the same in all rows of an item."""
    stimulus: Texts = ()
    """Columns that together are what a participant sees. Without it: all but the participant's."""
    conditions: dict[Name, Name] | Texts = ()
    """Factors: columns, or names with their columns."""
    people: Texts = ()
    """Columns with names of people, which differ between trials that show the same."""
    variables: dict[Name, Template] = Field(default_factory=dict)
    """Further variables for the templates."""
    checks: tuple[Check, ...] = ()


# --- Options ---------------------------------------------------------------------------------------------


class Options(Part):
    """A closed set of answers. Give one of `names`, `values`, `cross` and `columns`."""

    names: tuple[Text, ...] = ()
    """Names of the options in tables."""
    values: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()
    """Number of each option; then mean, median and standard deviation are measures. Without `names`, the
    numbers are the names."""
    cross: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    """Factors that are crossed: their marginal distributions are measures."""
    columns: tuple[Name, ...] = ()
    """Columns of the trial list with the texts of the options."""
    say: Template | None = None
    """The text of an option, from `name`, or from the factors of `cross`. Without it: the name."""
    spellings: dict[Text, Texts] = Field(default_factory=dict)
    """How a name (or a level of `cross`) may be written; the first is shown."""
    forms: Literal["written", "spoken"] | tuple[Template, ...] = "spoken"
    """Texts that count as an option: `written` (as it is), `spoken` (also with a capital letter), each with
    and without a leading space; or templates with `say`."""
    end: Literal["open", "full stop", "turn"] = "open"
    """What must follow an answer: anything, a full stop, or the end of the turn."""


def _options(value: Any) -> Any:
    return {"names": value} if isinstance(value, list) else value


OptionsOrNames = Annotated[
    Options, BeforeValidator(_options), Also({"type": "array", "items": SCALAR, "minItems": 2})
]


# --- Experiments -----------------------------------------------------------------------------------------


class Turn(Part):
    """One turn of a conversation: exactly one of the three."""

    system: Template | None = None
    user: Template | None = None
    assistant: Template | None = None

    @model_validator(mode="after")
    def _one(self) -> Turn:
        if len(self.model_fields_set) != 1:
            raise ValueError("a turn has exactly one of system, user and assistant")
        return self


class Examples(Part):
    """Solved examples before the question: rows with the columns of the list and `answer`."""

    rows: tuple[dict[Name, Text], ...] = ()
    file: FileName | None = None
    """A CSV file beside the study file."""
    answer: Template = "{{ answer }}"


def _range(given: tuple[int, int]) -> tuple[int, int]:
    if not 0 < given[1] - given[0] <= MAX_RANGE:
        raise ValueError(f"needs two numbers, the lower first, with at most {MAX_RANGE} between them")
    return given


class Read(Part):
    """How free text becomes a value."""

    number: Annotated[tuple[int, int], AfterValidator(_range)] | None = None
    """A whole number from … to …."""
    yes_no: bool = False
    choice: Name | None = None
    """One of the options of this set."""
    pattern: Text | None = None
    """What the group `value` of this regular expression finds."""
    synonyms: dict[Text, Texts] = Field(default_factory=dict)
    """Other words for a value. For a pattern: other texts that it may find."""
    unsure: bool = False
    """"unsure" is a value too."""
    rules: Literal["how-many", "knows", "it-was"] | None = None
    """A grammar of grace's that reads whole sentences."""
    about: dict[Name, Template] = Field(default_factory=dict)
    """What the grammar needs to know of the trial."""
    ask: Template | None = None
    """For an LLM that reads the answers: what the question was, and what counts as a value. Without it, grace
    says so in general words."""


class Ask(Part):
    """One question about a trial, or one for each value of `each`."""

    name: Name
    each: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    prompt: Template | None = None
    """One turn of the user."""
    system: Template | None = None
    """A system turn before it; an explicit null also switches the model's own off."""
    messages: tuple[Turn, ...] = ()
    """Several turns; instead of `prompt`."""
    examples: Examples | None = None
    options: Name | OptionsOrNames | None = None
    reverse: Condition | None = None
    """A condition under which the scale is turned round: measures use the values in reverse order."""
    read: Read | None = None


class TableColumns(Part):
    """Columns of the wide table: names for the probabilities, or measures, of a question."""

    question: Name
    of: Name | None = None
    """A factor of `cross`: its marginal distribution."""
    probability: Template | None = None
    mean: Template | None = None
    median: Template | None = None
    std: Template | None = None
    entropy: Template | None = None


class Table(Part):
    """The wide table."""

    name: Annotated[str, Field(pattern=r"^[a-z]+(_[a-z]+)*$", max_length=40)] | None = None
    """Part of the file's name. Without it: `probabilities`, or `raw_responses` for free text."""
    columns: tuple[TableColumns, ...] = ()


class Sampling(Part):
    """How free text is drawn, unless the command says otherwise."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    replicates: Annotated[int, Field(ge=1)] | None = None


class Contrast(Part):
    """A planned comparison of two conditions."""

    name: Text
    greater: dict[Name, Texts]
    lesser: dict[Name, Texts]
    outcome: Text | None = None
    """A measure, or `prob_OPTION`. Without it: the mean, or the first option's probability."""
    question: Name | None = None
    smallest: Annotated[float, Field(gt=0)] | None = None
    """The smallest difference that matters, in the outcome's unit."""


class Figure(Part):
    """A figure that differs from the default."""

    x: Name
    colour: Name | None = None
    rows: Name | None = None
    outcome: Text | None = None
    question: Name | None = None


class ExperimentFile(Part):
    """One experiment: its questions, and its table."""

    ask: Annotated[tuple[Ask, ...], Field(min_length=1)]
    title: Text | None = None
    table: Table = Table()
    sampling: Sampling = Sampling()
    contrasts: tuple[Contrast, ...] = ()
    model: Text | None = None
    """Formula of a mixed model, such as `mean ~ quantifier + (1 | scene)`."""
    outcomes: Texts = ()
    """Outcomes that the report shows. Without it: the mean, or all probabilities."""
    figures: tuple[Figure, ...] = ()


class WayLevel(Part):
    """A level of a way of asking: what it changes in every question, or in those that it names."""

    questions: Texts = ()
    prompt: Template | None = None
    """The turn of the user; of several turns, the last one."""
    system: Template | None = None
    """The system turn; an explicit null also switches the model's own off."""
    texts: dict[Name, Template] = Field(default_factory=dict)
    """Other texts in place of those of the study."""
    say: Template | None = None
    """The text of an option, as in an option set."""
    order: Annotated[str, Field(pattern=f"^(?:{ORDER.pattern})$")] | None = None
    """The order in which the prompt lists the options."""
    labels: Literal["none", "letters", "numbers"] | None = None
    """What stands before each listed option; then the label is the answer."""
    end: Literal["open", "full stop", "turn"] | None = None
    """What must follow an answer."""
    examples: Annotated[int, Field(ge=0)] | None = None
    """How many of the examples are shown."""
    template: Literal["chat", "plain"] | None = None
    """Whether the prompt is sent in the model's chat template, or as plain text."""


class StudyFile(Part):
    """A study."""

    grace: Annotated[Literal["1"], WithJsonSchema({"enum": [1, "1"]})]
    """Version of the format."""
    study: StudyName
    title: Text
    trials: Trials
    experiments: Annotated[dict[StudyName, ExperimentFile], Field(min_length=1)]
    source: Annotated[tuple[Source, ...], BeforeValidator(_sources), OrOne()] = ()
    texts: dict[Name, Template] = Field(default_factory=dict)
    """Parts of prompts, for use in templates by their name."""
    options: dict[Name, OptionsOrNames] = Field(default_factory=dict)
    ways: dict[Name, tuple[Text, ...] | dict[LevelName, WayLevel | None]] = Field(default_factory=dict)
    """Ways of asking: factors with levels. The first level of each is the base and changes nothing."""
    people: tuple[People, ...] = ()
