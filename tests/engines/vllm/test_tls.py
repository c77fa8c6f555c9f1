"""Encryption that does not come about, names and addresses that do not fit: said at once, with what to do."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from grace_client.core.errors import ServerError, SpecError
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.engines.vllm.responses import Retrying
from grace_client.extraction.endpoint import Asker, Endpoint, client
from grace_client.extraction.instructions import Codebook
from tests.conftest import ROOT
from tests.extraction.runs import KINDS, TRIALS
from tests.support.fault_server import FaultServer, in_thread

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its own certificate authority, `ca.pem`."""
    folder = tmp_path_factory.mktemp("authority")
    made = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Lab authority", "-days", "30"]
    openssl("req", "-x509", *KEY, *made, folder=folder)
    return folder


def tls(authority: Path, *, days: int = 30, name: str = "IP:127.0.0.1") -> ssl.SSLContext:
    """The server's TLS context, with a certificate for this name and number of days."""
    openssl("req", *KEY, "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=server", folder=authority)
    (authority / "names").write_text(f"subjectAltName={name}\n")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    openssl("x509", "-req", "-in", "s.csr", "-out", "s.pem", "-days", str(days), *signed, folder=authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "s.pem", authority / "s.key")
    return context


async def why_not(url: str, **options: Any) -> tuple[str, int]:
    """The error for a server, although the client could wait for it, and the exit code."""
    start = time.monotonic()
    with pytest.raises((SpecError, ServerError)) as caught:
        await VllmEngine.connect(url, wait_minutes=0.1, **options)
    assert time.monotonic() - start < 5
    return str(caught.value), int(caught.value.exit_code)


def connection_error(server: FaultServer, scheme: str | None = None) -> tuple[str, int]:
    async def work() -> tuple[str, int]:
        async with server:
            return await why_not(re.sub("^https?", scheme, server.url) if scheme else server.url)

    return asyncio.run(work())


def grace(url: str, certificates: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(certificates)}
    command = [sys.executable, "-m", "grace_client", "probe", "--server", url, "--wait-for-server", "5"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_an_unknown_authority_is_named_with_its_cure(authority: Path) -> None:
    """The exit code is 2 at once. SSL_CERT_FILE with the authority's file, as the message says, solves it."""
    with in_thread(FaultServer(tls=tls(authority))) as server:
        done = grace(server.url, authority / "missing.pem")
        assert done.returncode == 2
        assert "this machine does not trust its issuer" in done.stderr
        assert "export SSL_CERT_FILE=/path/to/ca.pem" in done.stderr
        assert "missing.pem, which does not exist" in done.stderr
        assert "waiting" not in done.stderr
        done = grace(server.url, authority / "ca.pem")
        assert (done.returncode, "returns exact probabilities" in done.stdout) == (0, True)


def test_a_certificate_that_expired(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired certificate, one for another host and an untrusted one have different messages."""
    trusting = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    for days, name, words in [
        (-1, "IP:127.0.0.1", "it has expired"),
        (30, "DNS:other.example", "it is for another host"),
        (30, "IP:127.0.0.2", "it is for another host"),
    ]:
        server = FaultServer(tls=tls(authority, days=days, name=name))
        with monkeypatch.context() as patch:
            patch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
            message, code = connection_error(server)
        assert words in message
        assert "SSL_CERT_FILE" not in message
        assert code == 2
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    message, code = connection_error(FaultServer(tls=tls(authority)))
    assert message.endswith("export SSL_CERT_FILE=/path/to/ca.pem")
    assert code == 2


def test_https_to_an_http_port_and_http_to_an_https_port(authority: Path) -> None:
    """The error has the URL that works."""
    server = FaultServer()
    message, code = connection_error(server, "https")
    assert message == f"https://127.0.0.1:{server.port} speaks http, not https. Use {server.url}"
    assert code == 2
    server = FaultServer(tls=tls(authority))
    message, code = connection_error(server, "http")
    assert message == f"http://127.0.0.1:{server.port} speaks https, not http. Use {server.url}"
    assert code == 2


def test_no_encryption_that_both_know() -> None:
    """The server ends the handshake with an alert: the error has OpenSSL's words, the exit code is 2."""

    async def work() -> tuple[str, int]:
        async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            # Fatal (2), protocol version (70).
            writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(alert, "127.0.0.1", 0)
        try:
            return await why_not(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        finally:
            server.close()

    message, code = asyncio.run(work())
    assert "encryption (" in message
    assert "PROTOCOL_VERSION" in message
    assert code == 2


def test_a_certificate_that_changes_in_a_run_ends_it(authority: Path) -> None:
    """The run ends at once, not after every question has failed."""

    async def work() -> ServerError:
        async with FaultServer() as server:
            engine = await VllmEngine.connect(server.url)
        engine.client.url = engine.client.url.replace("http:", "https:")
        engine.client._urls.clear()
        async with FaultServer(tls=tls(authority), port=server.port):
            with pytest.raises(ServerError) as caught:
                await engine.tokenize_form("new", [])
            assert engine.client.circuit.failure is not None
            await engine.close()
        return caught.value

    error = asyncio.run(work())
    assert not error.retryable
    assert "SSL_CERT_FILE" in str(error)


async def scripted(answer: Callable[[web.Request], Awaitable[web.StreamResponse]], **options: Any) -> Any:
    """The error for a server whose answers are scripted."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        return await why_not(url, retrying=Retrying(probe=0.01), **options), url


def two_names(answering: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A server with two names for one model; it answers with one of them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "first"}, {"id": "second"}]})
        return web.json_response({"model": answering, "choices": [{"text": "x", "finish_reason": "length"}]})

    return answer


def test_the_second_of_two_names() -> None:
    """The exit code is 2, and the error names the first one as the one to use."""
    (message, code), _ = asyncio.run(scripted(two_names("first"), model="second"))
    assert "answers requests for 'second' as 'first'" in message
    assert "--model first" in message
    assert code == 2


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "https://sso.example/login?next=/v1/models",
            "redirects to https://sso.example/login?next=/v1/models",
        ),
        ("https://other.example/v1/models", "redirects to https://other.example/v1/models (HTTP 302)"),
        ("/login?next=/v1/models", "redirects to /login?next=/v1/models (HTTP 302)"),
        ("", "redirects to nowhere"),
        ("{url}/llm/v1/models", "redirects to {url}/llm. Use that URL instead"),
        ("/llm/v1/models", "redirects to {url}/llm. Use that URL instead"),
        ("{url}/v1/models", "redirects to {url}/v1/models (HTTP 302)"),
    ],
)
def test_a_redirect(location: str, words: str) -> None:
    """The error advises a new URL only on the same host, and never a login page."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        here = f"{request.scheme}://{request.host}"
        return web.Response(status=302, headers={"Location": location.replace("{url}", here)})

    (message, code), url = asyncio.run(scripted(answer))
    assert words.replace("{url}", url) in message
    assert ("Use that URL" in message) == ("Use that URL" in words)
    assert ("takes an API key" in message) == ("Use that URL" not in words)
    assert (code, asked) == (2, ["/v1/models"])


def test_an_llm_behind_a_redirect_gets_no_answers() -> None:
    """No text is sent to another address, and encryption is checked as in a run."""
    bodies: list[str] = []
    codebook = Codebook.of(KINDS["number"], TRIALS["study1"][0])

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere/v1/other"})

    async def ask(url: str) -> ServerError:
        endpoint = Endpoint(url, "reader", "sk-reader-0123456789", "READER_KEY")
        connection = client(endpoint, concurrency=1)
        try:
            with pytest.raises(ServerError) as caught:
                await Asker(connection, endpoint, print).ask(codebook, "Two, I would say.")
            return caught.value
        finally:
            await connection.close()

    async def work() -> tuple[ServerError, ServerError]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            url = str(server.make_url("/v1"))
            return await ask(url), await ask(url.replace("http:", "https:"))

    redirected, plain = asyncio.run(work())
    assert "redirects to /elsewhere/v1/other (HTTP 307)" in str(redirected)
    assert "The readings so far are kept" in str(redirected)
    assert not redirected.retryable
    assert bodies == ["/v1/chat/completions"]
    assert "speaks http, not https" in str(plain)
    assert not plain.retryable
