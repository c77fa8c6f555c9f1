"""The page in a real browser, with the network taken away."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grace_client import report
from grace_client.engines.local import LocalEngine
from tests.engines.conftest import random_model, tokenizer
from tests.report.conftest import make, structure

EXPERIMENTS = ("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
HEADINGS = (
    "Summary",
    "Quality of the answers",
    "Study 1, knowledge attribution: probability distributions",
    "Study 1, knowledge attribution: free text",
    "Study 2, politeness: probability distributions",
    "Study 2, politeness: free text",
    "Models and people",
    "Saying and scoring",
    "Methods",
    "Downloads",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the default model and on a random one, each asked a sample of the four experiments."""
    folder = tmp_path_factory.mktemp("browser")
    engines = {
        "default": LocalEngine.load(say=print),
        "tiny": LocalEngine(random_model("llama"), tokenizer(), name="tiny-llama", revision="random"),
    }
    for name, engine in engines.items():
        for experiment in EXPERIMENTS:
            path = make(folder / "runs" / name / experiment, engine, experiment, sample=6)
            if experiment.endswith("exp1"):
                structure(path)
    out = folder / "report.html"
    report.write([folder / "runs"], out)
    return out


def chrome(chromium: str, page: Path, *arguments: str) -> str:
    """What the browser writes when it opens the page without a network."""
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * 0.0.0.0",
        f"--user-data-dir={page.parent / 'profile'}",
        *arguments,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


@pytest.mark.model
def test_the_page_in_a_browser(chromium: str, page: Path) -> None:
    """Every section is there, nothing is fetched, the picture is not blank, and it prints on sheets."""
    seen = html.unescape(chrome(chromium, page, "--dump-dom"))
    assert [re.sub(r"<[^>]+>", "", heading) for heading in re.findall(r"<h2>(.*?)</h2>", seen)] == list(
        HEADINGS
    )
    assert seen.count("<svg ") == seen.count("<figure ") >= 12
    assert "smollm2-135m" in seen
    assert "tiny-llama" in seen
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', seen)

    shot = page.parent / "page.png"
    chrome(chromium, page, "--window-size=1100,6000", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape[:2] == (6000, 1100)
    for band in np.array_split(pixels, 10):
        assert (band < 200).any(), "a part of the page is blank"
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100

    sheets = page.parent / "page.pdf"
    chrome(chromium, page, "--no-pdf-header-footer", f"--print-to-pdf={sheets}")
    written = sheets.read_bytes()
    assert written.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", written)) >= 4
