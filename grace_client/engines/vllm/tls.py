"""Errors of the encryption between this machine and a server, and what to do about them."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from grace_client.core.errors import ServerError

EXPIRED, NOT_YET, OTHER_NAMES = 10, 9, (62, 64)
"""OpenSSL's error numbers for certificates. Nearly all others mean an unknown authority."""

PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""OpenSSL's reasons if the other side answers in plain HTTP."""

HANDSHAKE_SECONDS = 5.0


def refusal(error: BaseException, url: str) -> ServerError | None:
    """The error of an encrypted connection that cannot succeed later; None if it may succeed.

    Parameters
    ----------
    error : BaseException
        Error of the HTTP client.
    url : str
        URL of the server.
    """
    # aiohttp's own errors have this type too, but contain only the original error.
    originals = (
        cause for cause in _causes(error) if isinstance(cause, ssl.SSLError) and hasattr(cause, "reason")
    )
    found = next(originals, None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return ServerError(_certificate(found, url), retryable=False)
    # The other side closed the connection. It may come back.
    if found is None or isinstance(found, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    reason = found.reason or str(found)
    if reason in PLAIN:
        message = f"{url} speaks http, not https. Use http{url.removeprefix('https')}"
    else:
        message = (
            f"{url} and this machine support no common encryption ({reason}). One of them may be too old. "
            "Ask the server's administrator"
        )
    return ServerError(message, retryable=False)


async def speaks_tls(url: str) -> bool:
    """Whether a server with an http URL answers in https, with any certificate."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _certificate(error: ssl.SSLCertVerificationError, url: str) -> str:
    why = f"The certificate of {url} is not accepted ({error.verify_message.rstrip('.')})"
    if error.verify_code == EXPIRED:
        return (
            f"{why}: it has expired. The server's administrator must renew it. Check also the date of this "
            f"machine: {date.today()}"
        )
    if error.verify_code == NOT_YET:
        return f"{why}: it is not valid yet. Check the date of this machine: {date.today()}"
    if error.verify_code in OTHER_NAMES:
        return f"{why}: it is for another host. Use the host name that the certificate is for"
    message = (
        f"{why}: this machine does not trust its issuer. Ask the server's administrator for the issuer's "
        "certificate, and set SSL_CERT_FILE to that file: export SSL_CERT_FILE=/path/to/ca.pem"
    )
    variable = os.environ.get("SSL_CERT_FILE")
    if variable and not Path(variable).is_file():
        return f"{message}. SSL_CERT_FILE is now {variable}, which does not exist"
    return f"{message}. SSL_CERT_FILE is now {variable}, which does not contain it" if variable else message


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes."""
    visited: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in visited:
            visited.add(id(one))
            yield one
            names = ("certificate_error", "os_error", "__cause__", "__context__")
            waiting += [getattr(one, name, None) for name in names]
