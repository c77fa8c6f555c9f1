"""The ledger: what is written is found again, whatever a crash leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client.run.ledger import Damage, Ledger, key_of


def filled(folder: Path, count: int = 3) -> list[str]:
    ledger = Ledger(folder)
    keys = [key_of("question", i) for i in range(count)]
    for i, key in enumerate(keys):
        ledger.append(key, {"status": "ok", "text": f"answer {i} “é”"}, final=True)
    ledger.close()
    return keys


def segment(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def test_answers_are_found_again(tmp_path: Path) -> None:
    """By the process that wrote them, before and after it closes the file, and by the next one."""
    ledger = Ledger(tmp_path)
    key = key_of("q")
    assert key not in ledger
    assert ledger.get(key) is None
    ledger.append(key, {"status": "ok"}, final=True)
    assert key in ledger
    assert ledger.get(key) == {"status": "ok"}
    ledger.close()
    assert Ledger(tmp_path).get(key) == {"status": "ok"}


def test_a_line_is_json_with_its_checksum(tmp_path: Path) -> None:
    """Readable with any JSON reader."""
    keys = filled(tmp_path)
    lines = [json.loads(line) for line in segment(tmp_path).read_text().splitlines()]
    assert "started" in lines[0]["session"]
    assert [line["key"] for line in lines[1:]] == keys
    assert lines[1]["answer"]["text"] == "answer 0 “é”"


def test_the_first_final_answer_wins(tmp_path: Path) -> None:
    """A question answered twice keeps its first answer, in memory and on disk."""
    for text in ("first", "second"):
        ledger = Ledger(tmp_path)
        ledger.append(key_of("q"), {"text": text}, final=True)
        assert ledger.get(key_of("q")) == {"text": "first"}
        ledger.close()


def test_failures_are_known_without_reading_the_answers(tmp_path: Path) -> None:
    """To the process that wrote them and to the next one; only final ones, only the one that counts."""
    ledger = Ledger(tmp_path)
    ledger.append(key_of(1), {"status": "ok"}, final=True)
    ledger.append(key_of(2), {"status": "nan", "reason": "x"}, final=True)
    ledger.append(key_of(3), {"status": "timeout", "reason": "x"}, final=False)
    ledger.append(key_of(1), {"status": "nan", "reason": "x"}, final=True)
    assert ledger.contents.failed == {key_of(2)}
    ledger.close()
    assert Ledger(tmp_path).contents.failed == {key_of(2)}


def test_a_failure_that_may_pass_counts_until_an_answer_comes(tmp_path: Path) -> None:
    """It is shown, but the question is still open."""
    key = key_of("q")
    for status in ("timeout", "refused"):
        ledger = Ledger(tmp_path)
        assert key not in ledger
        ledger.append(key, {"status": status}, final=False)
        ledger.close()
    ledger = Ledger(tmp_path)
    assert key not in ledger
    assert ledger.get(key) == {"status": "refused"}
    ledger.append(key, {"status": "ok"}, final=True)
    assert ledger.get(key) == {"status": "ok"}
    ledger.close()
    assert Ledger(tmp_path).get(key) == {"status": "ok"}


def test_a_tail_torn_at_any_byte_is_survived(tmp_path: Path) -> None:
    """All lines before it stand; the torn one counts as not asked and can be written again."""
    keys = filled(tmp_path)
    whole = segment(tmp_path).read_bytes()
    start = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for cut in range(start, len(whole)):
        segment(tmp_path).write_bytes(whole[:cut])
        ledger = Ledger(tmp_path)
        assert [key in ledger for key in keys] == [True, True, False]
        torn = [Damage(segment(tmp_path).name, 4, torn=True)] if cut > start else []
        assert ledger.contents.damage == torn
    ledger.append(keys[2], {"text": "again"}, final=True)
    ledger.close()
    assert all(key in Ledger(tmp_path) for key in keys)


@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_byte_is_never_read_as_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whichever bit flips, the line is reported and passed over, and the others stand."""
    folder = tmp_path_factory.mktemp("ledger")
    keys = filled(folder)
    raw = bytearray(segment(folder).read_bytes())
    lines = bytes(raw).split(b"\n")
    start, end = len(lines[0]) + 1 + len(lines[1]) + 1, len(raw) - len(lines[3]) - 2
    place = data.draw(st.integers(start, end - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    segment(folder).write_bytes(raw)
    ledger = Ledger(folder)
    assert keys[0] in ledger
    assert keys[1] not in ledger
    assert keys[2] in ledger
    assert ledger.contents.damage
    assert not any(damage.torn for damage in ledger.contents.damage)


def test_nothing_that_is_not_json_is_written(tmp_path: Path) -> None:
    """NaN would make a line that other readers refuse."""
    with pytest.raises(ValueError, match="Out of range float"):
        Ledger(tmp_path).append(key_of("q"), {"logprob": float("nan")}, final=True)


def test_keys_tell_contents_apart() -> None:
    """Order of a mapping does not count, anything else does."""
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of("ab"), key_of("a", "b"), key_of(["ab"]), key_of("ab", None)}) == 4
