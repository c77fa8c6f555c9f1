"""Faults in the text of a trial list: marks for missing values, and traces of other programs."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

_MISSING_WORDS = (
    "NA N/A n/a <NA> nan NaN NAN null Null NULL none None NONE NIL undefined #N/A #NA #NULL! #REF! "
    "#VALUE! #NAME? #NUM! #DIV/0! - -- – — ? . n.a."
)
MISSING = frozenset(_MISSING_WORDS.split())
"""Cells that mean "no value" in R, pandas and spreadsheets. "Nan" is not among them: it is a first name."""

INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
"""Characters with no width."""

_SPACES = re.compile("[\u00a0\u2007\u202f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_WIDE = re.compile("[\u0080-\uffff]{2,}")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)(?:\s[^<>]*)?/?>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_TAG_NAMES = (
    "a b big body br center code div em font h1 h2 h3 h4 h5 h6 hr html i img li ol p pre s script small "
    "span strike strong style sub sup table tbody td th tr tt u ul"
)
_TAGS = frozenset(_TAG_NAMES.split())


def named(character: str) -> str:
    """The name of a character that cannot be seen, such as ``U+00A0 (no-break space)``."""
    special = {"\0": "null", "\ufffd": "replacement character: the text was lost when it was saved"}
    name = special.get(character) or unicodedata.name(character, "control character").lower()
    return f"U+{ord(character):04X} ({name})"


def faults(text: str, *, breaks: bool) -> Iterator[str]:
    """The faults of a cell. `breaks` allows ``<br>``, which the study reads as a line break."""
    if not text.strip():
        yield "is empty"
        return
    if text.strip() in MISSING:
        yield f"is empty: {text.strip()!r} means a missing value. Write the value"
        return
    if found := _CONTROL.search(text):
        yield f"contains {named(found[0])}. Correct the text"
    for garbled in _WIDE.findall(text):
        if (meant := _decoded(garbled)) is not None:
            yield f"contains {garbled!r} for {meant!r}. Open the file as UTF-8 and save it as CSV UTF-8"
            break
    for found in _TAG.finditer(text):
        if found[1].lower() in _TAGS and not (breaks and _BREAK.fullmatch(found[0])):
            yield f"contains the HTML tag {found[0]!r}, and the model would see it. Write plain text"
            break
    for entity in _ENTITY.findall(text):
        if (meant := html.unescape(entity)) != entity:
            shown = meant if meant.isprintable() and not meant.isspace() else "a space"
            yield f"contains the HTML code {entity!r}, and the model would see it. Write {shown}"
            break


def doubts(text: str) -> Iterator[str]:
    """Possible faults of a cell. grace uses such a cell as it is."""
    for kind in (_SPACES, INVISIBLE):
        if found := kind.search(text):
            yield f"contains {named(found[0])}"
    if len(_BREAK.findall(text)) > 1:
        yield "contains more than one <br>"
    for found in _TAG.finditer(text):
        if found[1].lower() not in _TAGS:
            yield f"contains {found[0]!r}, which looks like an HTML tag"
            break


def hidden(text: str) -> str:
    """An addition to a message about a cell, if the cell contains a character that cannot be seen."""
    found = _SPACES.search(text) or INVISIBLE.search(text)
    return f" (it contains {named(found[0])}; type a plain space or remove it)" if found else ""


def _decoded(garbled: str) -> str | None:
    """The text, if `garbled` is UTF-8 that a program read as Windows-1252; else None."""
    try:
        return garbled.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return None
