"""The page that people read first: from a file of the researcher, as text without markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from grace_client.core.errors import SpecError, refused

_UNREAD = {"script", "style", "head", "template"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BREAKS = {"p", "div", "section", "article", "main", "ul", "ol", "table", "tr", "blockquote", "hr", "body"}


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a page.

    Attributes
    ----------
    kind : str
        ``"heading"``, ``"item"`` (of a list) or ``"paragraph"``.
    text : str
        Its text: words, no markup.
    """

    kind: str
    text: str


def read(path: Path) -> list[Block]:
    """The text of a file.

    A file that ends in ``.html`` or ``.htm`` gives the words of its headings, lists and paragraphs. Of any
    other file, lines that begin with ``#`` are headings, lines that begin with ``-`` or ``*`` are items,
    and empty lines separate paragraphs.

    Raises
    ------
    SpecError
        If the file has no text, or is not in UTF-8.
    FileError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise refused(error, path) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not in UTF-8 (byte {error.start}). Save it in UTF-8") from None
    html = path.suffix.lower() in (".html", ".htm")
    found = _of_html(text) if html else list(_of_lines(text))
    if not found:
        raise SpecError(f"{path} has no text. Write what people must know before they agree")
    return found


def _of_lines(text: str) -> Iterator[Block]:
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        marked = re.match(r"\s*(#{1,6}|[-*])\s+(\S.*)", line)
        if lines and (marked or not line.strip()):
            yield Block("paragraph", "\n".join(lines))
            lines = []
        if marked:
            yield Block("heading" if marked[1].startswith("#") else "item", marked[2].strip())
        elif line.strip():
            lines.append(line.strip())


def _of_html(text: str) -> list[Block]:
    parser = _Words()
    parser.feed(text)
    parser.close()
    parser.end()
    return parser.blocks


class _Words(HTMLParser):
    """The words of an HTML file, in blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._kind = "paragraph"
        self._words: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag in _HEADINGS or tag == "li":
            self.end()
            self._kind = "item" if tag == "li" else "heading"
        elif tag == "br":
            self._words.append("\n")
        elif tag in _BREAKS:
            self.end()

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag in _HEADINGS or tag == "li" or tag in _BREAKS:
            self.end()

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._words.append(re.sub(r"\s+", " ", data))

    def end(self) -> None:
        """The block ends here."""
        text = "\n".join(line.strip() for line in "".join(self._words).split("\n")).strip()
        if text:
            self.blocks.append(Block(self._kind, text))
        self._kind, self._words = "paragraph", []
