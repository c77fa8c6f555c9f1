"""An OpenAI-compatible endpoint that reads a few words, and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Reply = tuple[int, dict[str, str], Json]

KNOWN = {"deux": "2", "trois": "3", "jein": "unsure", "oui": "yes", "fue bueno": "was_good"}
"""What it understands, and what it takes it for."""


def coded(text: str) -> Json:
    """How it reads a text."""
    for words, value in KNOWN.items():
        if words in text:
            category = "hedge" if value == "unsure" else "answer"
            return {"value": value, "category": category, "confidence": "high", "span": words}
    return {"value": "unparsed", "category": "other", "confidence": "low", "span": ""}


def completion(content: str | None, **message: Any) -> Reply:
    """A chat completion that holds `content`."""
    finish = message.pop("finish_reason", "stop")
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content} | message,
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "reader", "choices": [choice]}
    return 200, {}, body | {"usage": usage}


def refusal(status: int, message: str, **headers: str) -> Reply:
    """An error as such endpoints give it; an underscore in a header's name stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"error": {"message": message, "type": "error", "code": status}}


def text_of(body: Json) -> str:
    """The answer that a request is about."""
    return str(body["messages"][1]["content"])


class FakeLlm:
    """The endpoint.

    Parameters
    ----------
    answer : callable, optional
        From a request's body and its number, counted from 1, to a reply; by default it reads `KNOWN`.
    """

    def __init__(self, answer: Callable[[Json, int], Reply] | None = None) -> None:
        self.answer = answer or (lambda body, _: completion(json.dumps(coded(text_of(body)))))
        self.requests: list[Json] = []
        self.keys: list[str | None] = []
        self.url = ""

    @property
    def texts(self) -> list[str]:
        """What it was asked about, request by request."""
        return [text_of(body) for body in self.requests]


@contextmanager
def serving(llm: FakeLlm) -> Iterator[FakeLlm]:
    """Serve it in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            llm.requests.append(body)
            llm.keys.append(self.headers["Authorization"])
            status, headers, reply = llm.answer(body, len(llm.requests))
            raw = json.dumps(reply).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that was killed leaves in the middle of a request."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    llm.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield llm
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
