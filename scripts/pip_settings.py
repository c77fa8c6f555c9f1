"""Turns what ``pip config list`` prints into the secrets of an image build; a helper of ``scripts/image``.

Writes ``pip.conf`` to the given folder, and ``pip.pem`` if pip uses a certificate of its own. Prints
the folders on this machine that packages come from, one per line.
"""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECRETS = "/run/secrets"
REACHING = (
    "cert",
    "default-timeout",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)
"""Settings that say how to reach packages. Others, such as `constraint`, say which packages to install."""


def main(folder: Path, listing: str) -> None:
    """Write the settings of a listing."""
    settings: dict[str, str] = {}
    # `section.key='value'`; pip lists those of the environment first, and they win.
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in ("global", "install", ":env:") and key in REACHING:
            settings[key] = ast.literal_eval(value)
    if certificate := settings.get("cert"):
        shutil.copyfile(certificate, folder / "pip.pem")
        settings["cert"] = f"{SECRETS}/pip.pem"
    if settings:
        lines = [f"{key} = {' '.join(value.split())}\n" for key, value in settings.items()]
        (folder / "pip.conf").write_text("[global]\n" + "".join(lines))
    for path in sorted(_local(settings)):
        print(path)


def _local(settings: dict[str, str]) -> set[Path]:
    found = set()
    for key in ("index-url", "extra-index-url", "find-links"):
        for place in settings.get(key, "").split():
            url = urlsplit(place)
            path = Path(unquote(url.path)) if url.scheme in ("", "file") else None
            if path and path.exists():
                # The files of an index are beside it.
                found.add(path.parent if "index" in key else path)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.read())
