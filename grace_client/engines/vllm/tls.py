"""What can be wrong with the encryption between here and a server, in words that say what to do."""

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
"""OpenSSL's numbers for why a certificate is not accepted; nearly all others mean an unknown authority."""

PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""OpenSSL's reasons where the other side answers in plain HTTP."""

HANDSHAKE_SECONDS = 5.0


def refusal(error: BaseException, url: str) -> ServerError | None:
    """Why encryption with a server cannot come about, however long one waits; None where it may.

    Parameters
    ----------
    error : BaseException
        What the HTTP client raised.
    url : str
        The server's.
    """
    # aiohttp's own errors are of that type too, and carry nothing but the true one.
    true = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLError) and hasattr(cause, "reason"))
    found = next(true, None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return ServerError(_certificate(found, url), retryable=False)
    # The other side is gone: it may come back.
    if found is None or isinstance(found, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    reason = found.reason or str(found)
    if reason in PLAIN:
        told = f"{url} speaks http, not https; give http{url.removeprefix('https')}"
    else:
        told = (
            f"{url} and this machine cannot agree on an encryption ({reason}): one of them may be too old; "
            "ask whoever runs the server"
        )
    return ServerError(told, retryable=False)


async def speaks_tls(url: str) -> bool:
    """Whether a server that is asked by http answers in https, whatever its certificate."""
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
    why = f"the certificate of {url} is not accepted ({error.verify_message.rstrip('.')})"
    if error.verify_code == EXPIRED:
        return (
            f"{why}: it has expired. Whoever runs the server must renew it. Check the date of this machine "
            f"too: {date.today()}"
        )
    if error.verify_code == NOT_YET:
        return f"{why}: it is not valid yet. Check the date of this machine: {date.today()}"
    if error.verify_code in OTHER_NAMES:
        return f"{why}: it is for another host. Use the host name that the certificate is for"
    told = (
        f"{why}: this machine does not trust who signed it. Ask whoever runs the server for the certificate "
        "of its authority, and set SSL_CERT_FILE to that file: export SSL_CERT_FILE=/path/to/ca.pem"
    )
    given = os.environ.get("SSL_CERT_FILE")
    if given and not Path(given).is_file():
        return f"{told}. SSL_CERT_FILE is now {given}, and there is no such file"
    return f"{told}. SSL_CERT_FILE is now {given}, which does not hold it" if given else told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it came from."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            names = ("certificate_error", "os_error", "__cause__", "__context__")
            waiting += [getattr(one, name, None) for name in names]
