"""What the operating system refuses is one sentence with the path, for every command, and nothing is lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

import pytest
import typer

from grace_client import cli
from grace_client.core import paths
from grace_client.core.errors import ExitCode, FileError, refused
from grace_client.extraction import answers, sheet
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.ledger import MOST_READERS, Ledger
from grace_client.run.manifest import SamplingSpec
from tests.conftest import ROOT, grace
from tests.run.test_runner import ask, exported
from tests.support.deterministic import DeterministicEngine

pytestmark = pytest.mark.slow
LIST = str(ROOT / "data" / "study1.csv")
NOWHERE = ["--server", "http://127.0.0.1:9"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, a sheet, and every kind of bad path."""
    top = tmp_path_factory.mktemp("home")
    scored, _ = ask(top / "scored", sample=2)
    tables.export(scored)
    free, _ = ask(top / "free", "study2-exp1", sample=2, sampling=SamplingSpec(replicates=1))
    tables.export(free)
    sheet.write(top / "sheet.csv", answers.by_rules(free))
    (top / "file").write_text("text")
    (top / "folder").mkdir()
    (top / "dangling").symlink_to(top / "gone" / "away")
    (top / "loop").symlink_to(top / "loop")
    return top


BAD_FILE = ("missing", "folder", "file/below", "dangling", "loop", "n" * 300)
BAD_FOLDER = ("missing", "file", "file/below", "dangling", "loop", "n" * 300)
BAD_NEW_FILE = ("folder", "file/below", "dangling", "loop", "n" * 300, "/dev/null")
BAD_NEW_FOLDER = ("file", "file/below", "dangling", "loop", "n" * 300)

# Each command with everything it needs; PATH is where the bad path goes, {} the folder with the runs.
CASES: list[tuple[str, str, tuple[str, ...], list[str]]] = [
    ("run", "trials", BAD_FILE, ["run", "study1-exp2", "--trials", "PATH", "--out", "{}/new"]),
    ("run", "out", BAD_NEW_FOLDER, ["run", "study1-exp2", "--trials", LIST, "--out", "PATH"]),
    ("run", "api_key_file", BAD_FILE, ["run", "study1-exp2", *NOWHERE, "--api-key-file", "PATH"]),
    ("status", "run", BAD_FOLDER, ["status", "PATH"]),
    ("verify", "run", BAD_FOLDER, ["verify", "PATH"]),
    ("export", "run", BAD_FOLDER, ["export", "PATH"]),
    ("explain", "run", BAD_FOLDER, ["explain", "PATH", "--trial", "1"]),
    ("noise", "run", BAD_FOLDER, ["noise", "PATH"]),
    ("noise", "api_key_file", BAD_FILE, ["noise", "{}/scored", *NOWHERE, "--api-key-file", "PATH"]),
    ("probe", "api_key_file", BAD_FILE, ["probe", *NOWHERE, "--api-key-file", "PATH"]),
    ("study new", "out", BAD_NEW_FOLDER, ["study", "new", "x", "--template", "likert", "--out", "PATH"]),
    ("study check", "trials", BAD_FILE, ["study", "check", "study1", "--trials", "PATH"]),
    ("study show", "trials", BAD_FILE, ["study", "show", "study1", "--trials", "PATH"]),
    ("study forms", "run", BAD_FOLDER, ["study", "forms", "PATH"]),
    ("study web", "trials", BAD_FILE, ["study", "web", "study1-exp2", "--out", "{}/new", "--trials", "PATH"]),
    (
        "study web",
        "consent",
        BAD_FILE,
        ["study", "web", "study1-exp2", "--out", "{}/new", "--consent", "PATH"],
    ),
    (
        "study web",
        "jspsych",
        BAD_FOLDER,
        ["study", "web", "study1-exp2", "--out", "{}/new", "--jspsych", "PATH"],
    ),
    ("study web", "out", BAD_NEW_FOLDER, ["study", "web", "study1-exp2", "--out", "PATH"]),
    ("study schema", "out", BAD_NEW_FILE, ["study", "schema", "--out", "PATH"]),
    ("trials check", "file", BAD_FILE, ["trials", "check", "PATH"]),
    ("trials make", "out", BAD_NEW_FILE, ["trials", "make", "study1", "--out", "PATH"]),
    ("models", "values_folder", BAD_FOLDER, ["models", "--values-folder", "PATH"]),
    ("extract answers", "run", BAD_FOLDER, ["extract", "PATH"]),
    ("extract answers", "human", BAD_FILE, ["extract", "{}/free", "--human", "PATH"]),
    ("extract sample", "run", BAD_FOLDER, ["extract", "sample", "PATH", "--out", "{}/new.csv"]),
    ("extract sample", "out", BAD_NEW_FILE, ["extract", "sample", "{}/free", "--out", "PATH"]),
    ("extract agree", "run", BAD_FOLDER, ["extract", "agree", "PATH", "{}/sheet.csv"]),
    ("extract agree", "sheets", BAD_FILE, ["extract", "agree", "{}/free", "PATH"]),
    ("report", "runs", BAD_FOLDER, ["report", "PATH", "--out", "{}/page.html"]),
    ("report", "out", BAD_NEW_FILE, ["report", "{}/scored", "--out", "PATH"]),
    ("report", "figures", BAD_NEW_FOLDER, ["report", "{}/scored", "--out", "{}/p.html", "--figures", "PATH"]),
    ("report", "tables", BAD_NEW_FOLDER, ["report", "{}/scored", "--out", "{}/p.html", "--tables", "PATH"]),
    ("report", "people", BAD_FILE, ["report", "{}/scored", "--out", "{}/p.html", "--people", "PATH"]),
    ("policy check", "files", BAD_FILE, ["policy", "check", "PATH"]),
    ("policy check", "chart", BAD_FOLDER, ["policy", "check", "--chart", "PATH"]),
    (
        "policy check",
        "values",
        BAD_FILE,
        ["policy", "check", "--chart", str(ROOT / "charts" / "grace"), "-f", "PATH"],
    ),
    ("fetch", "values", BAD_FILE, ["fetch", "-f", "PATH", "--to", "{}/new"]),
    ("upload", "files", BAD_FILE, ["upload", "PATH", "--claim", "c"]),
    ("upload", "values", BAD_FILE, ["upload", LIST, "-f", "PATH"]),
    ("campaign plan", "study", BAD_FILE, ["campaign", "plan", "--study", "PATH"]),
    ("campaign plan", "trials", BAD_FILE, ["campaign", "plan", "--trials", "PATH"]),
    ("campaign run", "study", BAD_FILE, ["campaign", "run", "--local", "--study", "PATH", "--out", "{}/new"]),
    (
        "campaign run",
        "trials",
        BAD_FILE,
        ["campaign", "run", "--local", "--trials", "PATH", "--out", "{}/new"],
    ),
    ("campaign plan", "values_folder", BAD_FOLDER, ["campaign", "plan", "--values-folder", "PATH"]),
    (
        "campaign run",
        "out",
        BAD_NEW_FOLDER,
        ["campaign", "run", "--local", "--models", "embedded", "--out", "PATH"],
    ),
]
ON_A_CLUSTER = {
    *(("fetch", name) for name in ("to", "kubeconfig")),
    ("upload", "kubeconfig"),
    *(
        (f"campaign {verb}", name)
        for verb in ("plan", "run", "status", "stop")
        for name in ("kubeconfig", "out")
    ),
    ("campaign run", "values_folder"),
}
"""Read and written only with a cluster; those of the cluster's own tests."""


def walked(app: typer.Typer, name: str = "") -> Iterator[tuple[str, str]]:
    """Every command of `grace` with each of its parameters that is a path."""
    for group in app.registered_groups:
        assert group.typer_instance
        yield from walked(group.typer_instance, f"{name} {group.name}".strip())
    for command in app.registered_commands:
        assert command.callback
        verb = f"{name} {command.name or command.callback.__name__}".strip()
        for parameter, kind in get_type_hints(command.callback).items():
            if "Path" in str(kind) or (verb, parameter) == ("policy check", "files"):
                yield verb, parameter


def test_no_command_is_left_out() -> None:
    """A new command, or a new path of an old one, must be tried here too."""
    there = set(walked(cli.app))
    assert there == {(name, parameter) for name, parameter, _, _ in CASES} | (ON_A_CLUSTER & there)


@pytest.mark.parametrize(("name", "parameter", "bad", "arguments"), CASES, ids=lambda value: str(value)[:20])
def test_every_bad_path_is_one_sentence(
    name: str,
    parameter: str,
    bad: tuple[str, ...],
    arguments: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, no traceback, the path's name, and nothing that was there is gone."""
    if "--chart" in arguments and shutil.which("helm") is None:
        pytest.skip("helm is not on the PATH")
    monkeypatch.chdir(home)
    before = {path.name for path in home.iterdir()}
    for place in bad:
        path = str(home / place)
        code = grace(monkeypatch, *(a.replace("{}", str(home)).replace("PATH", path) for a in arguments))
        message = capsys.readouterr().err
        assert code == 2, (place, message)
        shown = "".join(message.replace("│", "").split())
        assert place.split("/")[-2 if "/below" in place else -1][:30] in shown, (place, message)
        assert "Traceback" not in message and "Errno" not in message, message
    assert {path.name for path in home.iterdir()} == before
    assert Path("/dev/null").is_char_device()


NUMBERS = sorted({*errno.errorcode} - {errno.EPIPE})


@pytest.mark.parametrize("place", ["missing", "folder", "file", "file/below", "dangling", "loop", None])
def test_every_number_of_the_system_is_a_sentence(place: str | None, home: Path) -> None:
    """Whatever the system refuses, and wherever: the path, no bare number, one of two exit codes."""
    path = None if place is None else str(home / place)
    for number in NUMBERS:
        failure = refused(OSError(number, os.strerror(number), path))
        assert failure.exit_code in (ExitCode.BAD_INPUT, ExitCode.UNREACHABLE)
        assert path is None or isinstance(OSError(number, ""), ConnectionError) or path in str(failure), (
            failure
        )
        assert "Errno" not in str(failure) and "None" not in str(failure)
    assert refused(OSError("no number")).exit_code == ExitCode.BAD_INPUT
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ECONNRESET):
        assert refused(OSError(number, "")).exit_code == ExitCode.UNREACHABLE
    for number in (errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ENOENT, errno.EISDIR):
        assert refused(OSError(number, "")).exit_code == ExitCode.BAD_INPUT


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_loses_nothing(small: Path, tmp_path: Path) -> None:
    """The run stops with a sentence and exit code 3; with room it goes on, and its tables are as usual."""
    with pytest.raises(OSError, match="space") as caught:
        ask(small / "run", sample=150)
    failure = refused(caught.value)
    assert failure.exit_code == ExitCode.UNREACHABLE
    assert f"{small}/run/ledger/" in str(failure) and "the disk is full" in str(failure)
    kept = RunFolder.open(small / "run")
    assert not kept.ledger.contents.damage and kept.ledger.contents.lines > 20
    with pytest.raises(OSError, match="space"):
        tables.export(kept)
    assert not list((small / "run").glob(".*_study1*")), "nothing half written is left"
    shutil.copytree(small / "run", tmp_path / "moved")
    again = DeterministicEngine()
    folder, _ = ask(tmp_path / "moved", engine=again, sample=150)
    assert len(again.asked) == len(folder.plan.distinct) - kept.ledger.contents.lines
    assert exported(folder) == exported(ask(tmp_path / "other", sample=150)[0])


def test_a_disk_that_fills_up_while_tables_are_written_keeps_the_old_ones(small: Path) -> None:
    """Of several tables either all are new or none is."""
    folder, _ = ask(small / "run", sample=3)
    tables.export(folder)
    before = {path.name: path.read_bytes() for path in (small / "run").iterdir() if path.is_file()}
    (small / "filler").write_bytes(b"x" * (os.statvfs(small).f_bavail * 4096 - 24 * 1024))
    with pytest.raises(OSError, match="space"):
        tables.export(RunFolder.open(small / "run"))
    after = {path.name: path.read_bytes() for path in (small / "run").iterdir() if path.is_file()}
    assert after == before


def test_the_command_on_a_full_disk(small: Path) -> None:
    """One sentence and exit code 3, also for results that go to a file."""
    (small / "filler").write_bytes(b"x" * (os.statvfs(small).f_bavail * 4096))
    command = [
        sys.executable,
        "-m",
        "grace_client",
        "trials",
        "make",
        "study2",
        "--out",
        str(small / "l.csv"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"grace: {small}/l.csv: the disk is full. Free some")
    with Path("/dev/full").open("w") as full:
        check = [*command[:3], "trials", "check", LIST]
        done = subprocess.run(check, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr.startswith("grace: the output: the disk is full") and "Exception" not in done.stderr


def test_a_disk_that_can_only_be_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only reads works there; what writes says so before it works."""
    disk = tmp_path / "disk"
    disk.mkdir()
    for step in (["mount", "--bind", str(home), str(disk)], ["mount", "-o", "remount,bind,ro", str(disk)]):
        if subprocess.run(step, capture_output=True).returncode:
            pytest.skip("a disk that can only be read needs the right to mount one")
    try:
        for command in ("status", "verify"):
            assert grace(monkeypatch, command, str(disk / "scored")) == 0
        writing = (
            ("export", f"{disk}/scored"),
            ("extract", f"{disk}/free"),
            ("report", f"{home}/scored", "--out", f"{disk}/page.html"),
            ("run", "study1-exp2", "--out", f"{disk}/scored"),
            ("run", "study1-exp2", "--out", f"{disk}/new"),
            ("trials", "make", "study1", "--out", f"{disk}/l.csv"),
        )
        for arguments in writing:
            capsys.readouterr()
            assert grace(monkeypatch, *arguments) == 2
            assert str(disk) in (message := capsys.readouterr().err) and "read-only" in message
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """`ulimit -f`: the answers before stay, and the line that did not fit leaves nothing."""
    ask(tmp_path / "run", sample=150, stop_after=1)
    size = (tmp_path / "run" / "trials.csv").stat().st_size
    with limited(resource.RLIMIT_FSIZE, size), pytest.raises(OSError) as caught:
        ask(tmp_path / "run", sample=150)
    failure = refused(caught.value)
    assert failure.exit_code == ExitCode.BAD_INPUT and "ulimit -f" in str(failure)
    kept = RunFolder.open(tmp_path / "run").ledger.contents
    assert kept.lines > 5 and not kept.damage


def test_too_many_open_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 and the command that allows more."""
    there = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(there)]
    try:
        with limited(resource.RLIMIT_NOFILE, max(held) + 1):
            code = grace(monkeypatch, "status", str(home / "scored"))
    finally:
        for one in held:
            os.close(one)
    assert code == 3
    assert "ulimit -n 4096" in capsys.readouterr().err


def test_a_run_that_was_stopped_a_thousand_times_opens_few_files(tmp_path: Path) -> None:
    """A ledger of very many segments is read with a few of them open."""
    count = MOST_READERS + 10
    for number in range(count):
        ledger = Ledger(tmp_path)
        ledger.append(f"{number:032x}", {"status": "ok", "n": number}, final=True)
        ledger.close()
    ledger = Ledger(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in (*range(count), 0):
        assert (ledger.get(f"{number:032x}") or {})["n"] == number
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= MOST_READERS
    ledger.close()


def test_a_line_that_was_written_in_part_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line does not begin behind half of another."""
    ledger, write = Ledger(tmp_path), os.write
    ledger.append("0" * 32, {"status": "ok"}, final=True)

    def half(file: int, data: bytes) -> int:
        write(file, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left") as caught:
        ledger.append("1" * 32, {"status": "ok"}, final=True)
    assert str(caught.value.filename).startswith(str(tmp_path))
    monkeypatch.undo()
    ledger.append("2" * 32, {"status": "ok"}, final=True)
    ledger.close()
    found = Ledger(tmp_path).contents
    assert (found.lines, found.damage) == (2, [])


def test_another_process_and_a_disk_without_locks_are_two_things(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to wait for a process that is not there."""
    folder = RunFolder.open(home / "scored")

    def no_lock(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_lock)
    with pytest.raises(OSError) as caught, folder.locked():
        pass
    assert f"{home}/scored/.lock: the disk does not support this" in str(refused(caught.value))


@pytest.mark.parametrize("make", [Path.write_text, None])
def test_a_link_stays_a_link(make: Callable[..., object] | None, tmp_path: Path) -> None:
    """What it leads to is replaced, whether it was there or not."""
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    if make:
        make(target, "old")
    with paths.replacing(link) as new:
        new.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_folder_that_vanishes_meanwhile(tmp_path: Path) -> None:
    """The error names the file that was to be written, not the one that was written first."""
    place = tmp_path / "folder" / "file"
    with pytest.raises(OSError) as caught, paths.replacing(place) as new:
        new.write_text("x")
        shutil.rmtree(place.parent)
    message = str(refused(caught.value))
    assert message.startswith(f"{place}: {place.parent} does not exist"), message


def test_odd_bytes_in_a_name_end_in_a_sentence(tmp_path: Path) -> None:
    """A name that is no text is printed as far as it can be, with --json as well."""
    for extra in ([], ["--json"]):
        command = [sys.executable, "-m", "grace_client", "status", "\udcff\udcfe", *extra]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
        assert done.returncode == 2
        assert b"\\udcff\\udcfe: it does not exist" in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr


def test_an_error_with_its_path_is_kept_whole(tmp_path: Path) -> None:
    """What was kept, or what to do, can be said with it."""
    failure = refused(OSError(errno.EROFS, "x", str(tmp_path)), then="What has arrived is kept")
    assert isinstance(failure, FileError) and str(failure).endswith(
        "on another disk. What has arrived is kept"
    )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("file", "file: it is a file, but a folder is needed. Name a folder"),
        ("file/below", "file is a file, but a folder is needed. Name a folder"),
        ("dangling", "dangling: it is a link to"),
        ("missing/deeper", "missing does not exist. Check the spelling"),
    ],
)
def test_the_sentence_says_which_part_is_wrong(place: str, sentence: str, home: Path) -> None:
    """The path itself, or the part of it that is in the way."""
    number = errno.ENOENT if place.startswith(("dangling", "missing")) else errno.ENOTDIR
    assert sentence in str(refused(OSError(number, "", str(home / place))))
