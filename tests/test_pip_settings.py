"""What of this machine's pip settings an image build is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

LISTING = """\
:env:.default-timeout='180'
:env:.index-url='https://mine.example/simple'
global.cert='{folder}/own.pem'
global.constraint='{folder}/constraints.txt'
global.extra-index-url='file://{folder}/index/simple'
global.index-url='https://theirs.example/simple'
freeze.timeout='1'
"""


def test_only_how_packages_are_reached(tmp_path: Path) -> None:
    """Indexes and certificate, the environment's first; which versions is for the project's constraints."""
    (tmp_path / "own.pem").write_text("certificate")
    (tmp_path / "constraints.txt").write_text("numpy<1")
    (tmp_path / "index" / "simple").mkdir(parents=True)
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pip_settings.py"), str(out)],
        input=LISTING.format(folder=tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "index")]
    assert (out / "pip.pem").read_text() == "certificate"
    assert set((out / "pip.conf").read_text().splitlines()) == {
        "[global]",
        "cert = /run/secrets/pip.pem",
        "default-timeout = 180",
        f"extra-index-url = file://{tmp_path}/index/simple",
        "index-url = https://mine.example/simple",
    }
