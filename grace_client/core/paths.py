"""Where grace keeps files of its own, and how it replaces a file whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def check_folder(path: Path) -> None:
    """Raise the OSError that making files in a folder would raise, and make nothing.

    So a command can say at its start what would stop it at its end.
    """
    for part in (path, *path.absolute().parents):
        try:
            mode = part.stat().st_mode
        except FileNotFoundError:
            if part.is_symlink():
                raise
            continue
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(part))
        if os.statvfs(part).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        if not os.access(part, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return


def check_file(path: Path) -> None:
    """Raise the OSError that replacing a file would raise, and write nothing."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        # Such as /dev/null, which a file in its place would take from every program.
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    folder = Path(os.path.realpath(path)).parent
    if path.is_symlink() and not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    check_folder(folder)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that others see the old one or the whole new one, never a part.

    Yields a name beside `path`; what was written there takes its place when the block ends well. Where `path`
    is a link, the file that it leads to is replaced.

    Raises
    ------
    OSError
        With `path` as its file name, whichever of the steps failed.
    """
    new: Path | None = None
    try:
        check_file(path)
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Part of the name is enough to tell whose it is, and a whole one may be as long as the disk allows.
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
        os.close(handle)
        new = Path(name)
        yield new
        # mkstemp makes the file private; give it the rights that an ordinary new file would have.
        umask = os.umask(0)
        os.umask(umask)
        new.chmod(0o666 & ~umask)
        with new.open("rb") as written:
            os.fsync(written.fileno())
        new.replace(target)
    except OSError as error:
        if error.filename in (None, str(new), os.fspath(path)) or new is None:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    finally:
        if new is not None:
            with suppress(OSError):
                new.unlink(missing_ok=True)
