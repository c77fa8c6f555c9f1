"""Answers of a server that are spoiled on their way, without a network."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.responses import Reply
from tests.support.fake_vllm import RefusedError
from tests.support.fault_server import FaultServer

Spoil = Callable[[bytes], bytes]


def nested(levels: int, value: Any = 1) -> Any:
    """Lists in lists."""
    for _ in range(levels):
        value = [value]
    return value


JUNK: tuple[Any, ...] = (
    *(None, True, False, "", "text", "\0", "-0.5", "NaN", -1, 0, 1, 3.5, 1e308, -1e308, -9999.0, 2**31),
    *(2**63, 10**30, [], {}, [None], [[]], {"": None}, ["text"], [1.5], {"message": {"error": None}}),
    *(nested(50), nested(200), nested(900), {"error": nested(200)}, "🙂" * 500),
)
"""What may stand in a field that should hold something else."""


class Interceptor:
    """In place of the network: a fault server asked directly, whose answers to one path can be spoiled.

    Attributes
    ----------
    spoil : callable or None
        From the true body of an answer to the one that arrives.
    path : str
        Which answers are spoiled.
    nth : int or None
        Only so many requests to that path after `spoil` was set; None for all.
    asked : Counter of str
        Requests by path.
    """

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.spoil: Spoil | None = None
        self.path = ""
        self.nth: int | None = None
        self.asked: Counter[str] = Counter()

    def replace(self, path: str, spoil: Spoil | None, nth: int | None = None) -> None:
        """Spoil the answers to a path from now on."""
        self.path, self.spoil, self.nth = path, spoil, nth
        self.asked.clear()

    async def send(self, client: Client, method: str, path: str, body: bytes | None) -> Reply:
        """In place of `Client._send`."""
        self.asked[path] += 1
        status = 200
        try:
            if path == "/metrics":
                raw = self.server.vllm.metrics(1).encode()
            else:
                answer = self.server._routes[f"{method} {path}"](json.loads(body or b"{}"))
                raw = json.dumps(answer).encode()
        except RefusedError as refused:
            status, raw = refused.status, json.dumps(refused.body).encode()
        if self.spoil and path == self.path and self.nth in (None, self.asked[path]):
            raw = self.spoil(raw)
        return Reply(status, raw, url=client.url + path, key=client.key)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every object or list in a JSON value, with each of its keys or positions."""
    found, waiting = [], [value]
    while waiting:
        node = waiting.pop()
        inside = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        found += [(node, place) for place, _ in inside]
        waiting += [one for _, one in inside if isinstance(one, dict | list)]
    return found


def mutated(body: bytes, draw: random.Random) -> bytes:
    """A true answer with one thing in it changed."""
    kind = draw.randrange(10)
    if kind == 0:
        return body[: draw.randrange(len(body))]
    if kind == 1:
        at = draw.randrange(len(body))
        return body[:at] + bytes([draw.randrange(256)]) + body[at + draw.randrange(2) :]
    if kind == 2:
        return json.dumps(draw.choice(JUNK)).encode()
    try:
        whole = [json.loads(body)]
    except ValueError:  # the metrics, which are lines of text
        words = body.split(b" ")
        words[draw.randrange(len(words))] = json.dumps(draw.choice(JUNK)).encode()
        return b" ".join(words)
    # The lists of log-probabilities are long: a field near the top is as likely as one of their values.
    every = places(whole)
    node, place = draw.choice(every if kind < 6 else every[:40])
    if kind == 3 and isinstance(node, dict):
        node[draw.choice(["", "text", "token_id:-1", "error"])] = node.pop(place)
    elif kind in (4, 6):
        del node[place]
    elif kind == 5 and isinstance(node, list):
        node.append(copy.deepcopy(node[place]))
    else:
        node[place] = draw.choice(JUNK)
    return json.dumps(whole[0] if whole else None).encode()
