"""jsPsych comes from npm, or from a folder, and is what grace expects."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from grace_client.core.errors import FileError, ProgramMissingError, SpecError
from grace_client.studies.web import _library
from grace_client.studies.web._library import Package

NPM = """#!/bin/sh
echo "$@" >> {log}
cp {source}/*.tgz . 2>/dev/null
echo "npm error network request failed" >&2
"""


def archive(text: str) -> bytes:
    """A package of npm with one script."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as files:
        member = tarfile.TarInfo("package/dist/index.browser.min.js")
        member.size = len(text.encode())
        files.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small packages, and an npm that serves them."""
    folder = tmp_path / "served"
    folder.mkdir()
    packages = []
    for name, text in (("one", "one();\n//# sourceMappingURL=there.map\n"), ("@x/two", "two();")):
        raw = archive(text)
        packages.append(Package(name, "1.0.0", base64.b64encode(hashlib.sha512(raw).digest()).decode()))
        (folder / packages[-1].file).write_bytes(raw)
    monkeypatch.setattr(_library, "PACKAGES", tuple(packages))
    monkeypatch.setenv("GRACE_CACHE", str(tmp_path / "cache"))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "npm").write_text(NPM.format(log=tmp_path / "log", source=folder))
    (tools / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return folder


def test_npm_is_asked_once(source: Path, tmp_path: Path) -> None:
    """Then the cache has the archives; lines for debuggers are left out."""
    for _ in range(2):
        assert _library.scripts() == ["one();", "two();"]
    asked = (tmp_path / "log").read_text()
    assert asked == "pack --silent --ignore-scripts one@1.0.0 @x/two@1.0.0\n"
    assert sorted(path.name for path in (tmp_path / "cache" / "jspsych").iterdir()) == [
        "one-1.0.0.tgz",
        "x-two-1.0.0.tgz",
    ]


def test_a_folder_needs_no_npm(source: Path, tmp_path: Path) -> None:
    """What `npm pack` wrote on another machine."""
    assert _library.scripts(source) == ["one();", "two();"]
    assert not (tmp_path / "log").exists()
    (source / "x-two-1.0.0.tgz").unlink()
    with pytest.raises(FileError, match=r"x-two-1\.0\.0\.tgz: it does not exist.*--jspsych"):
        _library.scripts(source)


def test_another_file_is_refused(source: Path, tmp_path: Path) -> None:
    """Of a folder, of npm, and of the cache."""
    (source / "one-1.0.0.tgz").write_bytes(archive("other();"))
    with pytest.raises(SpecError, match=r"one-1\.0\.0\.tgz is not one@1\.0\.0: SHA-512"):
        _library.scripts(source)
    with pytest.raises(SpecError, match=r"is not one@1\.0\.0"):
        _library.scripts()
    assert not (tmp_path / "cache").exists()


def test_without_a_network_or_npm_the_error_says_how_to_get_the_files(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command to type elsewhere, and the option."""
    (source / "one-1.0.0.tgz").unlink()
    with pytest.raises(SpecError, match=r"cannot download one@1\.0\.0: npm error network.*--jspsych"):
        _library.scripts()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ProgramMissingError, match=r"not installed\. On a machine with npm.*'npm pack jspsych@8"
    ):
        _library.scripts()


def test_the_names_of_the_archives_are_those_of_npm() -> None:
    """A scope becomes the beginning of the name."""
    assert [package.file for package in _library.PACKAGES] == [
        "jspsych-8.3.0.tgz",
        "jspsych-plugin-html-button-response-2.1.0.tgz",
        "jspsych-plugin-survey-text-2.1.1.tgz",
    ]
