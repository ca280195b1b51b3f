"""A real browser for tests: Chromium without a window, driven over its own protocol (Chrome DevTools Protocol).

    async with browser(tmp_path) as page:
        await page.open("http://127.0.0.1:4200/")
        await page.click("button", "Resume")

What a person does is done as a person does it: real mouse and keyboard events on what is visible, and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
POLL = 0.1
#: Waiting for a page is waiting for two slow cores.
PATIENCE = 40.0

#: The visible elements that match a selector and hold this text (any, if it is empty), in the page's order.
_FIND = """
((selector, text) => [...document.querySelectorAll(selector)].filter(found => {
  const box = found.getBoundingClientRect();
  const said = (found.innerText || found.value || found.placeholder || "").trim();
  return box.width > 0 && box.height > 0 && said.includes(text);
}))(%s, %s)
"""


def chromium_path() -> str:
    """The browser's program; the test is skipped, and says why, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on the PATH (looked for {', '.join(NAMES)}): install Chromium to run this test")
    return found


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []  # exceptions in the page's own code
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message)
            if "id" in said and not self._answers[said["id"]].done():
                self._answers.pop(said["id"]).set_result(said)
            elif said.get("method") == "Runtime.exceptionThrown":
                self.problems.append(said["params"]["exceptionDetails"].get("text", ""))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result. Raises `RuntimeError` with what the browser says."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        answer = await asyncio.wait_for(self._answers[number], PATIENCE)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression[:200]}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Go there."""
        await self.call("Page.navigate", url=url)

    async def size(self, width: int, height: int) -> None:
        """Make the window so large, in CSS pixels."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **shape)

    async def text(self) -> str:
        """Everything that can be read on the page."""
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Wait until the expression is something; the test fails, with what the page says, when it never is."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := await self.evaluate(expression):
                    return found
            except RuntimeError:  # the page is just being replaced
                pass
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:g} s: {expression}\nthe page says:\n{(await self.text())[:3000]}")
            await asyncio.sleep(POLL)

    async def sees(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until this can be read on the page, and all of it is there, its styles too."""
        is_there = f"document.body && document.body.innerText.includes({json.dumps(text)})"
        await self.until(f"{is_there} && document.readyState === 'complete'", seconds)

    async def click(self, selector: str, text: str = "", seconds: float = PATIENCE) -> datetime:
        """Press the first visible element of this kind with this text, in its middle; when that was."""
        return await self.press(_FIND % (json.dumps(selector), json.dumps(text)), seconds)

    async def press(self, found: str, seconds: float = PATIENCE) -> datetime:
        """Press the first element of what a JavaScript expression finds, in its middle; when that was."""
        await self.until(f"{found}.length", seconds)
        await self.evaluate(f"{found}[0].scrollIntoView({{block: 'center'}})")
        place = await self._resting(found)
        pressed = datetime.now(UTC)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, **place, button="left", clickCount=1)
        return pressed

    async def _resting(self, found: str) -> dict[str, float]:
        """The middle of an element that has stopped moving: a dialog slides in."""
        before: dict[str, float] = {}
        while True:
            box = f"{found}[0].getBoundingClientRect()"
            now = await self.until(f"(box => ({{x: box.x + box.width / 2, y: box.y + box.height / 2}}))({box})")
            if now == before:
                return before
            before = now
            await asyncio.sleep(POLL)

    async def type(self, text: str) -> None:
        """Type this into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def choose(self, found: str, option: str) -> str:
        """Open the select that a JavaScript expression finds, go down to the next option with this text, take it."""
        await self.press(found)
        options, now = await self.evaluate(f"[[...{found}[0].options].map(one => one.text), {found}[0].selectedIndex]")
        wanted = next((place for place, text in enumerate(options) if place > now and option in text), None)
        if wanted is None:
            pytest.fail(f"no option with {option!r} among {options}")
        for _ in range(wanted - now):
            await self._key("ArrowDown", 40)
        await self._key("Enter", 13)
        await self.until(f"{found}[0].selectedIndex === {wanted}")
        return str(options[wanted])

    async def _key(self, name: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    async def fill(self, selector: str, text: str) -> None:
        """Type this into the first visible field of this kind."""
        await self.click(selector)
        await self.type(text)

    async def screenshot(self, path: Path) -> None:
        """Write what the window shows, as PNG."""
        picture = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(picture["data"]))

    async def close(self) -> None:
        """Stop listening to the tab."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


@asynccontextmanager
async def browser(directory: Path, width: int = 1360, height: int = 1000) -> AsyncIterator[Page]:
    """A browser with one empty tab and a profile below `directory`; it ends with the block."""
    profile = directory / "chromium"
    command = [
        chromium_path(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
        "--lang=en-US", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        async with connect(await _tab(profile), max_size=None, proxy=None) as socket:
            page = Page(socket)
            try:
                await page.call("Page.enable")
                await page.call("Runtime.enable")
                await page.size(width, height)
                yield page
            finally:
                await page.close()
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _tab(profile: Path) -> str:
    """Where the browser's only tab listens: it writes its port into its profile."""
    written = profile / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if written.exists() and len(lines := written.read_text().splitlines()) == 2:
            async with httpx.AsyncClient(trust_env=False) as client:
                tabs = (await client.get(f"http://127.0.0.1:{lines[0]}/json/list")).json()
            pages = [tab for tab in tabs if tab["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        await asyncio.sleep(POLL)
    raise TimeoutError("the browser did not open its door in time")
