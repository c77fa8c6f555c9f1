"""Figures as files: vector graphics for print and page, pixels for slides."""

from __future__ import annotations

import io
from pathlib import Path

import plotnine as p9

from grace_client.core import paths

FORMATS = ("svg", "pdf", "png")
DPI = 300
SETTINGS = {
    # Text stays text: it can be searched, read aloud and edited.
    "svg.fonttype": "none",
    "svg.hashsalt": "grace",
    "pdf.fonttype": 42,
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
}


def svg(figure: p9.ggplot) -> str:
    """A figure as SVG text; equal figures give equal text."""
    return _render(figure, ("svg",))["svg"].decode("utf-8")


def save(figure: p9.ggplot, folder: Path | str, name: str) -> list[Path]:
    """Write a figure as SVG, PDF and PNG (300 dots per inch).

    Parameters
    ----------
    figure : plotnine.ggplot
        As every function here returns it, with any theme added.
    folder : path
        Folder; created if it does not exist.
    name : str
        File name without an ending.

    Returns
    -------
    list of Path
    """
    written = []
    for kind, content in _render(figure, FORMATS).items():
        path = Path(folder) / f"{name}.{kind}"
        with paths.replacing(path) as new:
            new.write_bytes(content)
        written.append(path)
    return written


def _render(figure: p9.ggplot, kinds: tuple[str, ...]) -> dict[str, bytes]:
    import matplotlib

    result = {}
    with matplotlib.rc_context({"backend": "agg", **SETTINGS}):
        drawn = figure.draw()
        try:
            for kind in kinds:
                buffer = io.BytesIO()
                metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
                drawn.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
                result[kind] = buffer.getvalue()
        finally:
            import matplotlib.pyplot

            matplotlib.pyplot.close(drawn)
    return result
