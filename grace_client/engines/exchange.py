"""What a client sends and gets: answers, their errors, and the policy for asking again. Pure."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from grace_client.errors import SpecError

EVIDENCE = 300
"""Characters of a server's answer that a message quotes."""

DEAD = ("EngineCore", "EngineDead")
"""What an answer of status 500 says when vLLM's engine is gone and cannot come back by itself."""

NAN = "Out of range float"
"""What a server says that computed a NaN: JSON has none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to wait, to try again and to give up. All times in seconds.

    Attributes
    ----------
    tries : int
        How often a request is sent that the server fails to answer, the first time included.
    refusals : int
        How often a request is sent that the server refuses because it is busy (429, 503) or not there.
    backoff, backoff_most : float
        Pause before the second try, which doubles with every further one, and its bound. All pauses are
        varied at random by half, so that workers that failed together do not return together.
    deadline, per_prompt_token, per_new_token : float
        Bound on one request: a constant and what each token of the prompts and of the answer adds to it.
    window : float
        When nothing at all was answered for so long, the server hangs. Long answers add their
        `per_new_token` to it.
    trip : int
        So many failures in a row, of whatever requests, and all wait until the server proves to answer.
    probe, probe_deadline : float
        Pause between two such proofs, and the bound on one.
    patience : float
        How long to wait for a server that does not answer, such as one that loads its weights anew.
    connect : float
        Bound on opening a connection.
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
    """An answer that is not what was asked for; asking again may help."""


class StrangerError(MalformedError):
    """An answer of another model or server than the one asked; nothing more is asked before this is clear."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, read to its end.

    Attributes
    ----------
    status : int
        HTTP status.
    body : bytes
        As sent.
    retry_after : str or None
        The header of that name.
    location : str or None
        The header of that name.
    """

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None

    def json(self) -> Any:
        """The answer as JSON; `MalformedError` where it is none."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise MalformedError(f"not JSON: {self.text()!r}") from None

    def text(self) -> str:
        """The server's own words: the error message where there is one, else the start of the answer."""
        try:
            error = json.loads(self.body)
            for name in ("error", "message", "detail"):
                if isinstance(error, dict) and name in error:
                    error = error[name]
            words = error if isinstance(error, str) else json.dumps(error)
        except ValueError:
            words = self.body.decode(errors="replace")
        return words if len(words) <= EVIDENCE else words[:EVIDENCE] + "…"


def why(error: Exception) -> str:
    """What the operating system or aiohttp says of a connection that failed."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def base_url(url: str) -> str:
    """The server's URL without ``/v1``; SpecError where it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SpecError(f"{url!r} is not a server's URL; one looks like http://localhost:8000")
    if parts.username or parts.password:
        raise SpecError("a server's URL holds no user name or password; set VLLM_API_KEY instead")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def retry_seconds(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait; None where it says nothing usable.

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
        except ValueError:
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
