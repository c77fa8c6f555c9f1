"""Where grace keeps files of its own, and how it replaces a file whole."""

from __future__ import annotations

import os
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that others see the old one or the whole new one, never a part.

    Yields a name beside `path`; what was written there takes its place when the block ends well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
