"""Reads typed fields of a server's answer. A field of another type makes the answer malformed."""

from __future__ import annotations

from typing import Any

from grace_client.engines.vllm.responses import MalformedError

KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}

MOST_IDS = 2**31
"""Token ids are below this."""


def at(value: Any, *path: str | int) -> Any:
    """The value at a path of field names and list positions.

    Raises
    ------
    MalformedError
        If the path does not exist. All functions here also raise it if the value has another type.
    """
    for length, step in enumerate(path, 1):
        found = isinstance(value, dict) and step in value
        if isinstance(step, int):
            found = isinstance(value, list) and step < len(value)
        if not found:
            raise MalformedError(f"there is no {_name(path[:length])}")
        value = value[step]
    return value


def optional(value: Any, *path: str | int) -> Any:
    """The value at a path; None if the last field of the path is missing."""
    *parents, last = path
    return mapping(value, *parents).get(str(last))


def mapping(value: Any, *path: str | int) -> dict[str, Any]:
    """An object."""
    found: dict[str, Any] = _typed(at(value, *path), path, dict)
    return found


def listed(value: Any, *path: str | int) -> list[Any]:
    """A list."""
    found: list[Any] = _typed(at(value, *path), path, list)
    return found


def text(value: Any, *path: str | int) -> str:
    """A text."""
    return str(_typed(at(value, *path), path, str))


def text_or_none(value: Any, *path: str | int) -> str | None:
    """A text; None if it is null or missing."""
    found = optional(value, *path)
    return None if found is None else str(_typed(found, path, str))


def whole_or_none(value: Any, *path: str | int) -> int | None:
    """A whole number from 0; None if it is null or missing."""
    found = optional(value, *path)
    if found is None:
        return None
    if _typed(found, path, int) < 0:
        raise MalformedError(f"{_name(path)} is below 0")
    return int(found)


def number(value: Any, *path: str | int) -> float:
    """A number."""
    return float(_typed(at(value, *path), path, float, int))


def ids(value: Any, *path: str | int) -> list[int]:
    """Token ids; at least one."""
    found = _ids(listed(value, *path), path)
    if not found:
        raise MalformedError(f"{_name(path)} is empty")
    return found


def ids_or_none(value: Any, *path: str | int) -> list[int] | None:
    """Token ids, perhaps none of them; None if the field is null or missing."""
    found = optional(value, *path)
    return None if found is None else _ids(_typed(found, path, list), path)


def quoted(found: str | None) -> str:
    """The start of a text in quotation marks, for a message."""
    return repr(found if found is None or len(found) <= 80 else f"{found[:80]}…")


def _ids(found: list[Any], path: tuple[str | int, ...]) -> list[int]:
    if not set(map(type, found)) <= {int} or (found and not 0 <= min(found) <= max(found) < MOST_IDS):
        raise MalformedError(f"{_name(path)} contains something that is not a token id")
    return found


def _typed(found: Any, path: tuple[str | int, ...], *kinds: type) -> Any:
    if type(found) not in kinds:
        raise MalformedError(f"{_name(path)} is {KINDS[type(found)]} instead of {KINDS[kinds[0]]}")
    return found


def _name(path: tuple[str | int, ...]) -> str:
    """Such as ``choices[0].message``."""
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return name.removeprefix(".") or "the answer"
