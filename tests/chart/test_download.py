"""The download of the weights, by the chart's own script, from a stand-in for the model hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.chart.helm import CHART, containers, one, render

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b"{}",
    "tokenizer.model": b"tokens",
    "model-00001-of-00002.safetensors": b"a" * 70_000,
    "model-00002-of-00002.safetensors": b"b" * 50_000,
    "model.safetensors.index.json": b'{"weight_map": {}}',
    # Not for vLLM.
    "original/consolidated.safetensors": b"c" * 90_000,
    "metal/model.bin": b"d" * 90_000,
    "pytorch_model.bin": b"e" * 90_000,
    "README.md": b"read me",
}
WANTED = {name for name in FILES if "/" not in name} - {"pytorch_model.bin", "README.md"}
GIB = 2**30
SIZE = 120_000 / GIB


class Hub(ThreadingHTTPServer):
    """One repository. `gated` refuses it, `cut` breaks the next file off in the middle."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.gated = False
        self.cut = False
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def got(self) -> list[str]:
        """Files whose bytes were asked for."""
        gets = [path for method, path, _ in self.asked if method == "GET"]
        return [path.partition(f"/resolve/{COMMIT}/")[2] for path in gets if "/resolve/" in path]


class Answer(BaseHTTPRequestHandler):
    """What the hub's interface says."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def reply(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def answer(self) -> None:
        span = self.headers.get("Range")
        self.server.asked.append((self.command, self.path, span))
        if self.server.gated:
            return self.reply(403, X_Error_Code="GatedRepo", X_Error_Message="no access")
        if "/tree/" in self.path:
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": name} for name, data in FILES.items()
            ]
            return self.reply(200, json.dumps(tree).encode(), Content_Type="application/json")
        if self.path.startswith("/api/models/lab/m"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            info = {"id": "lab/m", "modelId": "lab/m", "sha": COMMIT, "siblings": siblings, "tags": []}
            return self.reply(200, json.dumps(info).encode(), Content_Type="application/json")
        name = self.path.partition(f"{COMMIT}/")[2]
        if name not in FILES:
            return self.reply(404, X_Error_Code="EntryNotFound")
        data, start = FILES[name], 0
        if span and self.command == "GET":
            start = int(span.removeprefix("bytes=").partition("-")[0])
        body = data[start:]
        headers = {
            "X_Repo_Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Content_Length": str(len(body)),
            "Accept_Ranges": "bytes",
        }
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.server.cut and self.command == "GET" and len(body) > 60_000:
            self.close_connection = True
            body = body[:40_000]
        self.reply(206 if start else 200, body, **headers)

    do_GET = do_HEAD = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def download(hub: Hub, home: Path, declared: float = SIZE, **more: str) -> subprocess.CompletedProcess[str]:
    """Run what the chart's container runs."""
    home.mkdir(exist_ok=True)
    values = {"model": {"name": "m", "repository": "lab/m", "revision": "v1", "weightsGiB": 1}}
    loader = containers(one(render(values=values), "Deployment")["spec"]["template"])[0]
    script = loader["args"][0]
    literal = {e["name"]: e["value"] for e in loader["env"] if "value" in e}
    env = {"PATH": os.environ["PATH"], **literal, "HF_HOME": str(home), "HF_ENDPOINT": hub.url, **more}
    return subprocess.run(
        [sys.executable, "-c", script, "lab/m", "v1", str(declared)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def snapshot(home: Path) -> dict[str, bytes]:
    folder = home / "hub" / "models--lab--m" / "snapshots" / COMMIT
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_only_what_vllm_loads_and_only_once(hub: Hub, tmp_path: Path) -> None:
    """A second start asks the hub nothing at all; one whose file is gone fetches that file."""
    first = download(hub, tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert snapshot(tmp_path) == {name: FILES[name] for name in WANTED}
    assert (tmp_path / "hub" / "models--lab--m" / "refs" / "v1").read_text() == COMMIT
    hub.asked.clear()
    again = download(hub, tmp_path)
    assert again.returncode == 0
    assert "complete, nothing to download" in again.stdout
    assert hub.asked == []
    lost = tmp_path / "hub" / "models--lab--m" / "snapshots" / COMMIT / "config.json"
    lost.resolve().unlink()
    lost.unlink()
    assert download(hub, tmp_path).returncode == 0
    assert hub.got() == ["config.json"]
    assert snapshot(tmp_path) == {name: FILES[name] for name in WANTED}


def test_a_download_that_broke_off_fetches_what_is_missing(hub: Hub, tmp_path: Path) -> None:
    """Exit code 3; then only the file that was not whole, and nothing is left of its first part."""
    hub.cut = True
    broken = download(hub, tmp_path)
    assert broken.returncode == 3, broken.stdout + broken.stderr
    assert "The next try downloads the missing files" in broken.stdout
    killed = tmp_path / "hub" / "models--lab--m" / "blobs" / "abc.0123.incomplete"
    killed.write_bytes(b"a" * 40_000)
    hub.cut = False
    hub.asked.clear()
    assert download(hub, tmp_path).returncode == 0
    assert hub.got() == ["model-00001-of-00002.safetensors"]
    assert snapshot(tmp_path) == {name: FILES[name] for name in WANTED}
    assert not list(tmp_path.rglob("*.incomplete"))


def test_two_at_a_time_download_once(hub: Hub, tmp_path: Path) -> None:
    """Two releases on one claim: the second waits for the first, and has nothing to do."""
    results: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: results.append(download(hub, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.returncode for r in results] == [0, 0]
    assert sorted(hub.got()) == sorted(WANTED)


def test_what_no_retry_mends_is_exit_code_2(hub: Hub, tmp_path: Path) -> None:
    """No access, or weights larger than the values say, each with what to do."""
    small = download(hub, tmp_path, declared=SIZE / 1.03)
    assert small.returncode == 2
    assert "model.weightsGiB is" in small.stdout and "Correct it" in small.stdout
    assert not snapshot(tmp_path)
    enough = download(hub, tmp_path / "other", declared=SIZE / 1.01)
    assert enough.returncode == 0
    hub.gated = True
    refused = download(hub, tmp_path)
    assert refused.returncode == 2
    assert "accept its licence at https://huggingface.co/lab/m" in refused.stdout


def test_a_hub_that_is_away_is_exit_code_3(hub: Hub, tmp_path: Path) -> None:
    """A Job is tried again."""
    away = download(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert away.returncode == 3, away.stdout + away.stderr
    assert "the download failed" in away.stdout


def test_the_script_is_the_file(tmp_path: Path) -> None:
    """The manifest leaves out its blank lines and nothing else."""
    text = (CHART / "files" / "download.py").read_text()
    objects = render(values={"model": {"name": "m", "repository": "lab/m", "weightsGiB": 1}})
    script = containers(one(objects, "Deployment")["spec"]["template"])[0]["args"][0]
    assert script.splitlines() == [line for line in text.splitlines() if line]
