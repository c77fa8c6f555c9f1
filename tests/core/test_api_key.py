"""An API key is read as users keep it, and no part of it that tells anything gets out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client.core import api_key
from grace_client.core.api_key import HIDDEN, LEAST, ApiKey, from_environment, from_file
from grace_client.core.errors import SpecError
from grace_client.engines.vllm.responses import Reply

KEY = "sk-Qx7/Lm+29vTzRw84Kp=YbN3"


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=20),
    st.integers(0, len(KEY) - LEAST),
    st.integers(LEAST, len(KEY)),
    st.text(max_size=20),
    st.sampled_from(
        [str, lambda part: quote(part, safe=""), lambda part: "".join(rf"\u{ord(c):04x}" for c in part)]
    ),
)
def test_any_part_is_hidden(before: str, start: int, length: int, after: str, written: object) -> None:
    """Wherever it was cut, whatever stands beside it, as it is, URL-encoded or in JSON's escapes."""
    assert callable(written)
    part = KEY[start : start + length]
    shown = Reply(500, f"{before} {written(part)} {after}".encode(errors="replace"), key=ApiKey(KEY)).text()
    assert not any(KEY[at : at + LEAST] in shown for at in range(len(KEY) - LEAST + 1))
    assert HIDDEN in shown
    assert written(part)[:30] not in shown


@pytest.mark.parametrize("user", ["", "x:", "me:", "a:b:", "Bearer "])
def test_base64_is_hidden(user: str) -> None:
    """Wherever the key stands in it."""
    encoded = base64.b64encode(f"{user}{KEY}@host".encode()).decode()
    shown = ApiKey(KEY).hide(f"Authorization: Basic {encoded}; again {encoded}")
    assert shown.count(HIDDEN) == 2
    assert all(encoded[at : at + 14] not in shown for at in range(len(encoded) - 14))


def test_parsed_answers_are_cleaned_and_fields_keep_their_names() -> None:
    """At any depth, escaped or not; a text without the key is left as it is."""
    value = {"a": [{"reasoning": f"x {KEY} y"}, KEY[3:14]], KEY: 1, "b": "reasoning"}
    for body in (
        json.dumps(value),
        json.dumps(value).replace("/", r"\/"),
        json.dumps(value).replace("Q", r"\u0051"),
    ):
        found = Reply(200, body.encode(), key=ApiKey(KEY)).json()
        assert found == {"a": [{"reasoning": f"x {HIDDEN} y"}, HIDDEN], KEY: 1, "b": "reasoning"}
    deep = "[" * 900 + json.dumps(KEY) + "]" * 900
    assert "sk-" not in Reply(200, deep.encode(), key=ApiKey(KEY)).text()
    assert Reply(200, json.dumps(KEY).encode(), key=ApiKey(KEY)).json() == HIDDEN


def test_short_keys_are_hidden_in_messages_alone() -> None:
    """A key of a few letters may be any word of an answer."""
    reply = Reply(401, b'{"error": "not for Zw9"}', key=ApiKey("Zw9"))
    assert reply.text() == f"not for {HIDDEN}"
    assert reply.json() == {"error": "not for Zw9"}
    assert ApiKey().hide("all of it") == "all of it"
    assert repr(ApiKey(KEY)) == "ApiKey(***)"


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"  {KEY}\r\n", f"\ufeff{KEY}\n", f"\t{KEY}\n\n"])
def test_a_key_file_as_editors_write_it(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White space around the key and a byte-order mark are none of it."""
    file = tmp_path / "key"
    file.write_bytes(content.encode())
    assert from_file(file) == KEY
    monkeypatch.setenv("SOME_KEY", content)
    assert from_environment("SOME_KEY") == KEY


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f'"{KEY}"\n', "quotation marks around the key"),
        (f"'{KEY}'", "quotation marks around the key"),
        (f"“{KEY}”", "not ASCII"),
        (f"{KEY}\n{KEY}\n", "several words or lines"),
        (f"sk-one {KEY}", "several words or lines"),
        (f"{KEY[:9]}\x00{KEY[9:]}", "invisible characters"),
        (f"{KEY[:9]}\u200b{KEY[9:]}", "invisible characters"),
        (f"Bearer {KEY}", "the word 'Bearer' before the key"),
        (f"VLLM_API_KEY={KEY}", "a setting (NAME=KEY)"),
        (f"export VLLM_API_KEY={KEY}", "a setting (NAME=KEY)"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("\ufeff\n", "is empty"),
    ],
)
def test_a_key_file_that_holds_something_else(content: str, words: str, tmp_path: Path) -> None:
    """Is refused by what is wrong with it, and the key is not repeated."""
    file = tmp_path / "key"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        from_file(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert KEY[:LEAST] not in str(caught.value)


def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder, a missing file, a file of another encoding."""
    file = tmp_path / "key"
    with pytest.raises(SpecError, match="No such file"):
        from_file(file)
    with pytest.raises(SpecError, match="Is a directory"):
        from_file(tmp_path)
    file.write_bytes(KEY.encode("utf-16"))
    with pytest.raises(SpecError, match="not plain text"):
        from_file(file)


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong one is refused by its name."""
    monkeypatch.setenv("SOME_KEY", " ")
    assert from_environment("SOME_KEY") is None
    monkeypatch.delenv("SOME_KEY")
    assert from_environment("SOME_KEY") is None
    monkeypatch.setenv("SOME_KEY", f"'{KEY}'")
    with pytest.raises(SpecError, match=r"SOME_KEY.* quotation marks"):
        from_environment("SOME_KEY")
    assert api_key.NO_KEY.hide(KEY) == KEY
