"""Read YAML as plain data with the place of each value.

Every scalar stays a text, as it is written: `no` is "no", `1.0` is "1.0". The model of the format decides
what is a number. Only `null`, `~` and nothing at all are None. Tags, anchors and aliases are refused: a small
file is small in memory too, and makes nothing but texts, lists and mappings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from grace_client.core.errors import FileProblem, StudyError
from grace_client.studies._syntax import mistakes

MAX_BYTES = 2_000_000
MAX_DEPTH = 20
"""Maximum nesting of lists and mappings."""

_NULLS = ("", "~", "null")

Path = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as data.

    Attributes
    ----------
    data : object
        Mappings, lists, texts and None.
    places : mapping of path to (int, int)
        Line and column of each value, from 1; a path has keys and positions.
    """

    data: Any
    places: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Line and column of a value, or of the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def read(raw: bytes, path: str) -> Document:
    """Read one YAML document.

    Raises
    ------
    StudyError
        If the bytes are not one document of plain YAML in UTF-8; with line and column.
    """
    if len(raw) > MAX_BYTES:
        raise _refused(
            path,
            1,
            1,
            f"the file has {len(raw)} bytes; a study file has at most {MAX_BYTES}. Put long lists "
            "of materials into the trial list",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _refused(
            path, line, 1, f"byte {raw[error.start]:#04x} is not UTF-8. Save the file as UTF-8"
        ) from None
    document = Document(None)
    try:
        events = _Events(yaml.parse(text, Loader=yaml.SafeLoader), path)
        data = _value(events, events.next(), (), document)
        events.end()
    except yaml.MarkedYAMLError as error:
        raise _refused(path, *mistakes.named(error, text)) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _refused(path, line, 1, "this character is not allowed in YAML. Remove it") from None
    return Document(data, document.places)


class _Events:
    """The content of the file's one document, as the parser's events."""

    def __init__(self, events: Iterator[yaml.Event], path: str) -> None:
        self.path, self._events = path, events

    def next(self) -> yaml.Event:
        for event in self._events:
            if isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
                continue
            if isinstance(event, (yaml.StreamEndEvent, yaml.DocumentEndEvent)):
                break
            return event
        raise _refused(self.path, 1, 1, "the file is empty. 'grace study new NAME' writes one to begin with")

    def end(self) -> None:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise self.refused(
                    event, "a second document begins here. Put each study into a file of its own"
                )

    def refused(self, event: yaml.Event, message: str) -> StudyError:
        return _refused(self.path, *_place(event), message)


def _value(events: _Events, event: yaml.Event, path: Path, document: Document) -> Any:
    document.places[path] = _place(event)
    if len(path) > MAX_DEPTH:
        raise events.refused(
            event, f"this is nested more than {MAX_DEPTH} levels deep. No part of a study is"
        )
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise events.refused(
            event,
            "anchors (&) and aliases (*) are not allowed. Write a text that is used "
            "twice under 'texts', and name it in the templates",
        )
    if tag := getattr(event, "tag", None):
        raise events.refused(event, f"the tag {tag} is not allowed. Leave it out")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in _NULLS else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Any] = []
        while not isinstance(inner := events.next(), yaml.SequenceEndEvent):
            items.append(_value(events, inner, (*path, len(items)), document))
        return items
    found: dict[str, Any] = {}
    while not isinstance(key := events.next(), yaml.MappingEndEvent):
        if not isinstance(key, yaml.ScalarEvent) or key.anchor or key.tag:
            # {{ … }} is a mapping whose key is a mapping.
            line, column = _place(event)
            if isinstance(key, yaml.MappingStartEvent) and _place(key) == (line, column + 1):
                raise events.refused(event, mistakes.BRACES)
            raise events.refused(key, "a key must be a plain text")
        if key.value in found:
            raise events.refused(key, f"the key {key.value!r} stands here a second time. Remove one")
        found[key.value] = _value(events, events.next(), (*path, key.value), document)
        document.places[(*path, key.value)] = _place(key)
    return found


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _refused(path: str, line: int, column: int, message: str) -> StudyError:
    return StudyError(path, [FileProblem(line, column, None, message)])
