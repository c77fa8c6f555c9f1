"""The page in a real browser, with the network taken away."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import _program

HEADINGS = (
    "Summary",
    "Quality of the answers",
    "How it was asked",
    "Knowledge attribution, probability distributions",
    "Knowledge attribution, free text",
    "Politeness, probability distributions",
    "Politeness, judgement of an utterance",
    "Politeness, free text",
    "Models, people and theory",
    "Free text and scored answers",
    "Methods",
    "Downloads",
)


@pytest.fixture(scope="module")
def page(written: tuple[Path, dict[str, Any]]) -> Path:
    """A report on two models and all experiments."""
    return written[0] / "report.html"


@pytest.fixture(scope="session")
def pdftotext() -> str:
    """A program that extracts the text of a PDF."""
    return _program("pdftotext", "poppler-utils")


def chrome(chromium: str, page: Path, *arguments: str) -> str:
    """Run the browser on the page without a network; returns its output."""
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


def test_the_page_in_a_browser(chromium: str, page: Path) -> None:
    """The page has every section, fetches nothing, and its picture is not blank."""
    seen = html.unescape(chrome(chromium, page, "--dump-dom"))
    assert [re.sub(r"<[^>]+>", "", heading) for heading in re.findall(r"<h2>(.*?)</h2>", seen)] == list(
        HEADINGS
    )
    assert seen.count("<svg ") == seen.count("<figure ") >= 12
    assert "alpha" in seen and "beta" in seen
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', seen)

    shot = page.parent / "page.png"
    chrome(chromium, page, "--window-size=1100,6000", f"--screenshot={shot}")
    image = Image.open(shot).convert("RGB")
    pixels = np.asarray(image)
    assert pixels.shape[:2] == (6000, 1100)
    for band in np.array_split(pixels, 10):
        assert (band < 200).any(), "a part of the page is blank"
    assert image.getcolors(100) is None, "it has at most 100 colours"


def squeezed(text: str) -> str:
    """Text of a page without spaces, because lines have other breaks on paper."""
    return "".join(html.unescape(text).split())


def test_the_page_on_paper(chromium: str, pdftotext: str, page: Path) -> None:
    """Every table is printed, also if it is folded, or the print says where it is."""
    sheets = page.parent / "page.pdf"
    chrome(chromium, page, "--no-pdf-header-footer", f"--print-to-pdf={sheets}")
    done = subprocess.run([pdftotext, "-raw", sheets, "-"], capture_output=True, text=True, check=True)
    pages = done.stdout.split("\f")
    printed = squeezed(done.stdout)
    assert len(pages) > 4
    parts = re.split(r'<div class="table[^"]*" id="table-', page.read_text())[1:]
    assert len(parts) >= 30
    for part in parts:
        name, caption = part.partition('"')[0], re.search(r"<caption><span>(.*?)</span></caption>", part)
        assert caption is not None
        assert squeezed(caption[1]) in printed
        rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)[1:]
        if "Too long to print" in part:
            told = f"Too long to print: {len(rows)} rows. See the page, or {name}.csv."
            assert squeezed(told) in printed
        else:
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", rows[-1], re.DOTALL):
                assert squeezed(cell) in printed
    assert squeezed("Too long to print") in printed
    assert squeezed("Say how likely the statement is.") in printed
    assert squeezed("Not printed, because") not in printed
    # A heading stands above what it is the heading of, and a title above its figure.
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())
    assert len(titles) >= 12
    above = {squeezed(text) for text in (*HEADINGS, *titles)}
    for sheet in pages:
        lines = sheet.strip().splitlines()
        assert not lines or squeezed(lines[-1]) not in above
