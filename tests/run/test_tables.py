"""Tables as files: what readers make of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grace_client.run import tables


@pytest.mark.parametrize("text", ["one\rtwo", "one\ntwo", "one\r\ntwo", 'a "b", c', "", "plain"])
def test_whatever_a_model_says_is_one_field(tmp_path: Path, text: str) -> None:
    """Also a bare carriage return, which readers take for the end of a row where it is not quoted."""
    frame = pd.DataFrame({"response": [text, "x"], "replicate": [1, 2]})
    tables.write_csv(frame, tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(read, frame, check_dtype=False)


def test_usual_tables_have_no_needless_quotes(tmp_path: Path) -> None:
    """Their bytes are as ever."""
    tables.write_csv(pd.DataFrame({"word": ["yes", None], "share": [0.5, None]}), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == b"word,share\nyes,0.5\n,\n"
