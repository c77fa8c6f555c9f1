"""Chromium without a screen: open a page, click, type, look. It speaks the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

SECONDS = 60.0
"""Longest wait for the browser."""


class Tab:
    """One page of the browser.

    Attributes
    ----------
    downloads : Path
        Where downloaded files lie.
    problems : list of str
        Errors of scripts, and what the page's policy refused.
    requests : list of str
        Every address that the page asked for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, downloads: Path) -> None:
        self.downloads = downloads
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            method, params = told.get("method"), told.get("params", {})
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif method == "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            elif method == "Page.javascriptDialogOpening":
                asyncio.create_task(self.call("Page.handleJavaScriptDialog", accept=True))  # noqa: RUF006

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A call of the protocol; its result."""
        number = max(self._waiting, default=0) + 1
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        told = await asyncio.wait_for(answer, SECONDS)
        assert "error" not in told, (method, told)
        result: dict[str, Any] = told["result"]
        return result

    async def begin(self) -> None:
        """Be told of errors, and keep downloads."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    async def open(self, address: str, *, width: int = 1280, height: int = 900) -> None:
        """Open a page in a window of this size, in pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && document.querySelector('#study *') !== null")

    async def js(self, source: str) -> Any:
        """The value of an expression on the page."""
        told = await self.call("Runtime.evaluate", expression=source, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for a condition of the page."""
        async with asyncio.timeout(SECONDS):
            while not await self.js(f"Boolean({condition})"):
                await asyncio.sleep(0.02)

    async def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, as a person does."""
        element = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{element} && !{element}.disabled")
        spot = await self.js(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const r = "
            "e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1
            )

    async def key(self, key: str, text: str = "") -> None:
        """Press a key."""
        more = {"text": text} if text else {}
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        await self.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes[key], **more
        )
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key])

    async def type(self, text: str) -> None:
        """Type into the element that has the focus."""
        await self.call("Input.insertText", text=text)

    async def picture(self, path: Path) -> None:
        """A picture of the whole page."""
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def browser(chromium: str, folder: Path) -> AsyncIterator[Tab]:
    """A browser with one page; it and its profile in `folder` end together."""
    profile, downloads = folder / "profile", folder / "downloads"
    profile.mkdir()
    downloads.mkdir()
    process = await asyncio.create_subprocess_exec(
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--remote-debugging-port=0",
        "--host-resolver-rules=MAP * 0.0.0.0, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        told = profile / "DevToolsActivePort"
        async with asyncio.timeout(SECONDS):
            while not told.exists() or "\n" not in told.read_text():
                await asyncio.sleep(0.05)
        port = told.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket, downloads)
                await tab.begin()
                yield tab
    finally:
        process.terminate()
        await process.wait()
