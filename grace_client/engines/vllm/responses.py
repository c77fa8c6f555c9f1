"""Answers of a server, their errors, and when to retry. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import orjson

from grace_client.core.api_key import NO_KEY, ApiKey
from grace_client.core.errors import SpecError

T = TypeVar("T")

EVIDENCE = 300
"""Most characters of a server's answer that a message quotes."""

DEAD = ("EngineCore", "EngineDead")
"""Words in an answer of status 500 if vLLM's engine is gone and cannot come back by itself."""

NAN = "Out of range float"
"""Words in an answer if the server computed NaN, which JSON cannot contain."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """When to wait, retry and give up. All times in seconds.

    Attributes
    ----------
    tries : int
        How often to send a request that the server fails to answer, the first time included.
    refusals : int
        How often to send a request that the server refuses because it is busy (429, 503) or down.
    backoff, backoff_most : float
        Pause before the second try; it doubles with every further try, up to `backoff_most`. Each pause is
        varied at random by up to a half, so that requests that failed together are not sent together again.
    deadline, per_prompt_token, per_new_token : float
        Longest duration of one request: a constant, and the seconds that each token of the prompts and of
        the answer adds.
    window : float
        If no request was answered for this long, the server hangs. Long answers add their `per_new_token`.
    trip : int
        After this many failures in a row, of any requests, all wait until the server proves that it answers.
    probe, probe_deadline : float
        Pause between two such checks, and the longest duration of one.
    patience : float
        How long to wait for a server that does not answer, such as one that loads its weights again.
    connect : float
        Longest time to open a connection.
    """

    tries: int = 5
    refusals: int = 30
    backoff: float = 0.5
    backoff_most: float = 20.0
    deadline: float = 180.0
    per_prompt_token: float = 0.02
    per_new_token: float = 0.2
    window: float = 120.0
    trip: int = 8
    probe: float = 3.0
    probe_deadline: float = 60.0
    patience: float = 1800.0
    connect: float = 10.0


class MalformedError(Exception):
    """An answer that does not fit the request. A retry may help."""


class OtherModelError(MalformedError):
    """Another model or server answered. No more questions are sent until the right one answers.

    Parameters
    ----------
    message : str
        Which model or server answered.
    name : str
        Name of the model that answered; empty if another server did.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP answer. No text read from it contains a part of the API key.

    Attributes
    ----------
    status : int
        HTTP status.
    body : bytes
        The body as the server sent it.
    retry_after : str or None
        Header `Retry-After`.
    location : str
        Header `Location`; empty if there is none.
    url : str
        URL of the request.
    key : ApiKey
        API key to hide in every text.
    """

    status: int
    body: bytes
    retry_after: str | None = None
    location: str = ""
    url: str = ""
    key: ApiKey = NO_KEY

    def json(self) -> Any:
        """The answer as JSON; `MalformedError` if it is not JSON.

        orjson takes 1024 levels at most. Later code does not use recursion on an answer.
        """
        try:
            return self.key.hide_in(orjson.loads(self.body), self.body)
        except ValueError:
            raise MalformedError("not JSON") from None

    def read(self, read: Callable[[Any], T]) -> T:
        """The result of `read` for the answer; a `MalformedError` quotes the answer."""
        try:
            return read(self.json())
        except MalformedError as error:
            error.args = (f"{error}; the answer was: {self.text()}",)
            raise

    def text(self) -> str:
        """The server's own words: its error message if there is one, else the start of the answer."""
        try:
            words = orjson.loads(self.body)
            for name in ("error", "message", "detail"):
                if isinstance(words, dict) and name in words:
                    words = words[name]
        except ValueError:
            words = None
        return evidence(words if isinstance(words, str) else self.whole(), self.key)

    def whole(self) -> str:
        """All of the answer as text."""
        return self.key.hide(self.body.decode(errors="replace"))

    @property
    def moved(self) -> str | None:
        """The server's URL according to a redirect on the same host; None for any other redirect."""
        try:
            old, new = urlsplit(self.url), urlsplit(urljoin(self.url, self.location))
        except ValueError:
            return None
        endpoint = old.path[old.path.rfind("/v1/") :] if "/v1/" in old.path else old.path
        if new.hostname != old.hostname or not new.path.endswith(endpoint):
            return None
        base = f"{new.scheme}://{new.netloc}{new.path.removesuffix(endpoint)}"
        return None if self.url.startswith(base + endpoint) else base


ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\/")


def evidence(words: str, key: ApiKey) -> str:
    """Text from a server as a message quotes it: short, on one line, without the key.

    Parameters
    ----------
    words : str
        The text of the server.
    key : ApiKey
        API key to hide, also if JSON escapes spell it.
    """
    readable = ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "/", words[: 10 * EVIDENCE])
    shown = "".join(one if one.isprintable() else " " for one in key.hide(readable))
    return shown if len(shown) <= EVIDENCE else shown[:EVIDENCE] + "…"


def why(error: Exception) -> str:
    """The reason of the operating system or of aiohttp for a failed connection."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def base_url(url: str) -> str:
    """The server's URL without ``/v1``; SpecError if it is not a URL of a server."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SpecError(f"{url!r} is not the URL of a server. Example: http://localhost:8000")
    if parts.username or parts.password:
        raise SpecError("The server's URL must not contain a user name or password. Set VLLM_API_KEY instead")
    if parts.query or parts.fragment:
        raise SpecError("The server's URL must not contain '?' or '#'. Leave out what follows")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def retry_seconds(header: str | None) -> float | None:
    """Seconds to wait according to a Retry-After header; None if it cannot be used.

    Parameters
    ----------
    header : str or None
        A number of seconds or an HTTP date.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
