"""The HTML page of a report. It needs no other file and no network."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from grace_client.report import format
from grace_client.report.blocks import Review, Section, Table

_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", re.DOTALL)
_NAMES = re.compile(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"')
_SIZE = re.compile(r'(<svg[^>]*?)\s(?:width|height)="[^"]*"')


def render(
    title: str, subtitle: str, sections: Sequence[Section], drawings: Mapping[str, str], caution: str
) -> str:
    """The page.

    Parameters
    ----------
    title, subtitle : str
        Title of the page, and the line below it.
    sections : sequence of Section
        In order.
    drawings : mapping of str to str
        SVG of every figure by its name.
    caution : str
        The caution at the top of the page.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grace_client.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests["review"] = lambda item: isinstance(item, Review)
    tables = [table for section in sections for table in section.tables]
    return environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        caution=caution,
        svg={name: inline(text, name) for name, text in drawings.items()},
        cells=format.cells,
        tables=tables,
        csv={table.name: _data(csv(table), "text/csv;charset=utf-8") for table in tables},
        archive=_data(_zip(tables), "application/zip"),
    )


def csv(table: Table) -> bytes:
    """A table as a file: every column, full precision."""
    text: str = table.frame.to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8")


def inline(svg: str, name: str) -> str:
    """An SVG file as a part of a page: scales with the page, no outside links, unique ids."""
    svg = _DROPPED.sub("", _HEAD.sub("", svg))
    head, rest = svg.split(">", 1)
    # Points are a third larger than pixels, and a figure may be drawn a fifth larger than in print.
    width = re.search(r'\swidth="([\d.]+)pt"', head)
    size = float(width[1]) if width else 0
    # A minimum width keeps it readable on a phone: its box scrolls.
    most = f' style="min-width:{size * 1.2:.0f}px;max-width:{size * 1.6:.0f}px"' if size else ""
    head = _NAMES.sub("", head)
    while (smaller := _SIZE.sub(r"\1", head)) != head:
        head = smaller
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', rest))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    rest = re.sub(r'\sid="([^"]*)"', renamed, rest)
    rest = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    return f'{head}{most} aria-hidden="true">{rest}'


def _zip(tables: Sequence[Table]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in tables:
            # A fixed date, so that equal tables make an equal page.
            archive.writestr(zipfile.ZipInfo(f"{table.name}.csv"), csv(table), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _data(content: bytes, kind: str) -> Any:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
