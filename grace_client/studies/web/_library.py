"""The files of jsPsych that a page needs: from npm, once, and checked against known checksums."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from grace_client.core import paths
from grace_client.core.errors import ProgramMissingError, SpecError, refused

_MEMBER = "package/dist/index.browser.min.js"
_SECONDS = 300
"""Longest wait for npm."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of npm.

    Attributes
    ----------
    name, version : str
        As npm knows it.
    integrity : str
        SHA-512 of its archive in base64, as npm records it.
    """

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        """Name and version, as `npm pack` takes them."""
        return f"{self.name}@{self.version}"

    @property
    def file(self) -> str:
        """Name of the archive that `npm pack` writes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = (
    Package(
        "jspsych",
        "8.3.0",
        "UrwSVG14v8oRX6WFQ1L6uuGT0G7KgRDSH48iKIVIQI+yMRGAlvg+tEUNFKe/1xZxgk3kZiZ5xP0AnpPqPj1zkg==",
    ),
    Package(
        "@jspsych/plugin-html-button-response",
        "2.1.0",
        "AhJPePA8s/ount+QYtqfgMtEkz7g+j+bnhQ9XqxfsnK2f5MdnlakYtpjxW9YgFx9y0Gs7yb7OZk1+omcKlzaEQ==",
    ),
    Package(
        "@jspsych/plugin-survey-text",
        "2.1.1",
        "kAnM75at72JQxC8vrHeo2RDmhAGdlEbw0KJXQS/y1Wsn1C8/JM1jvIEGLBBHvrGpMHZHUXk4qg1Ad4fZFt4zjA==",
    ),
)
"""What a page needs, in the order in which it is loaded."""

COMMAND = "npm pack " + " ".join(package.spec for package in PACKAGES)
"""What a person types to get the archives by hand."""

BY_HAND = (
    f"On a machine with npm and a network, run '{COMMAND}', and name the folder of the files with --jspsych"
)


def scripts(folder: Path | None = None) -> list[str]:
    """The texts of the JavaScript files, in the order in which a page loads them.

    Parameters
    ----------
    folder : Path, optional
        Folder with the archives. Without it: grace's cache, which `npm pack` fills at the first call.

    Raises
    ------
    SpecError
        If an archive is not the expected one, or if npm cannot get it.
    ProgramMissingError
        If npm is needed and not installed.
    FileError
        If an archive of `folder` cannot be read.
    """
    if folder is None:
        folder = paths.cache() / "jspsych"
        if missing := [package for package in PACKAGES if not (folder / package.file).is_file()]:
            _download(missing, folder)
    return [_script(package, folder / package.file) for package in PACKAGES]


def _download(packages: Sequence[Package], folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ProgramMissingError(
            f"The page needs jsPsych, and npm, which downloads it, is not installed. {BY_HAND}"
        )
    with tempfile.TemporaryDirectory() as work:
        command = [npm, "pack", "--silent", "--ignore-scripts", *(package.spec for package in packages)]
        try:
            done = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            said = done.stderr.strip().splitlines() or ["npm said nothing"]
        except subprocess.TimeoutExpired:
            said = [f"npm took longer than {_SECONDS} s"]
        for package in packages:
            archive = Path(work) / package.file
            if not archive.is_file():
                raise SpecError(
                    f"npm cannot download {package.spec}: {said[-1]}. Check the network and repeat the "
                    f"command. {BY_HAND}"
                )
            _checked(package, archive)
        for package in packages:
            with paths.replacing(folder / package.file) as new:
                new.write_bytes((Path(work) / package.file).read_bytes())


def _checked(package: Package, archive: Path) -> bytes:
    try:
        raw = archive.read_bytes()
    except OSError as error:
        raise refused(error, archive, then=f"It must be {package.spec}. {BY_HAND}") from None
    found = base64.b64encode(hashlib.sha512(raw).digest()).decode()
    if found != package.integrity:
        raise SpecError(
            f"{archive} is not {package.spec}: SHA-512 {found}, expected {package.integrity}. Remove the "
            f"file and repeat the command. {BY_HAND}"
        )
    return raw


def _script(package: Package, archive: Path) -> str:
    with tarfile.open(fileobj=BytesIO(_checked(package, archive))) as files:
        member = files.extractfile(_MEMBER)
        assert member is not None, package
        text = member.read().decode("utf-8")
    # The last line names a file on the network, for debuggers.
    return "\n".join(line for line in text.splitlines() if not line.startswith("//# sourceMappingURL="))
