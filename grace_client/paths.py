"""Where grace keeps files of its own, and how it replaces a file whole."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache() -> Path:
    """`$GRACE_CACHE`, or `grace` in the user's cache folder."""
    if own := os.environ.get("GRACE_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "grace"


LONGEST_NAME = 120
"""Characters of a model's name in the names of files. The rest of a name takes up to about a hundred."""


def file_name(model: str) -> str:
    """A model's name as a part of file names: its last part, in letters, digits, ``.``, ``_`` and ``-``.

    A name that cannot stay as it is (too long, other characters, a first or last character that hides a file
    or reads as an option) ends in a hash of the whole name, so that two models never share a file name.
    """
    short = model.rsplit("/", 1)[-1]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", short).strip(".-")
    if plain == short and 0 < len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = plain[: LONGEST_NAME - len(digest) - 1].rstrip(".-")
    return f"{kept}-{digest}" if kept else f"model-{digest}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that others see the old one or the whole new one, never a part.

    Yields a name beside `path`; what was written there takes its place when the block ends well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Part of the name is enough to tell whose it is, and a whole one may be as long as the disk allows.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    os.close(handle)
    new = Path(name)
    try:
        yield new
        # mkstemp makes the file private; give it the rights that an ordinary new file would have.
        umask = os.umask(0)
        os.umask(umask)
        new.chmod(0o666 & ~umask)
        with new.open("rb") as written:
            os.fsync(written.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
