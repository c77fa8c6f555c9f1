"""grace's cache folder, names of files, and the atomic replacement of a file."""

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
    """The folder of grace's cache: `$GRACE_CACHE`, or `grace` in the user's cache folder."""
    if own := os.environ.get("GRACE_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "grace"


LONGEST_NAME = 120
"""Maximum length of a model's name in a file name. The rest of the file name has about 100 characters."""


def file_name(model: str) -> str:
    """A model's name for file names: its last part, with letters, digits, ``.``, ``_`` and ``-`` only.

    If the name must be changed (it is too long, has other characters, or begins or ends with ``.`` or
    ``-``), a hash of the whole name follows, so that two models never have the same file name.
    """
    short = model.rsplit("/", 1)[-1]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", short).strip(".-")
    if plain == short and 0 < len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = plain[: LONGEST_NAME - len(digest) - 1].rstrip(".-")
    return f"{kept}-{digest}" if kept else f"model-{digest}"


def check_folder(path: Path) -> None:
    """Raise the OSError that writing files in a folder would raise. Nothing is written.

    A command can then fail at its start instead of its end.
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
    """Raise the OSError that replacing a file would raise. Nothing is written."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        # For example /dev/null: all programs need it, so it must not be replaced.
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    folder = Path(os.path.realpath(path)).parent
    if path.is_symlink() and not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    check_folder(folder)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically: other programs see the old file or the complete new one.

    Yields the path of a temporary file beside `path`. If the block raises no error, that file replaces
    `path`. If `path` is a link, its target is replaced.

    Raises
    ------
    OSError
        If any step fails; its file name is `path`.
    """
    new: Path | None = None
    try:
        check_file(path)
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Only a part of the name: the whole name may already have the maximum length.
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
        os.close(handle)
        new = Path(name)
        yield new
        # mkstemp makes the file private. Give it the permissions of an ordinary new file.
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
