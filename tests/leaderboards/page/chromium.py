"""Chromium without a window, driven by the DevTools protocol over a pipe: no port, no library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 30.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


def find() -> str | None:
    """The browser's program, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser; messages are JSON, each ended by a zero byte."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        flags = [*_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # The browser reads from 3 and writes to 4.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, program, *flags],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = ours_out, ours_in
        self._rest = b""
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask for something and wait for it; what happens meanwhile is in ``events``."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = monotonic() + TIMEOUT
        while monotonic() < end:
            for reply in self._received(end):
                if reply.get("id") != self._count:
                    self.events.append(reply)
                elif "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                else:
                    return reply["result"]
        raise TimeoutError(method)

    def _received(self, end: float) -> Iterator[dict[str, Any]]:
        if not select([self._in], [], [], max(0.0, end - monotonic()))[0]:
            return
        data = os.read(self._in, 1 << 20)
        if not data:
            raise RuntimeError("the browser is gone")
        *messages, self._rest = (self._rest + data).split(b"\0")
        found = [json.loads(message) for message in messages]
        replies = [message for message in found if "id" in message]
        self.events += [message for message in found if "id" not in message]
        yield from replies

    def close(self) -> None:
        """End the browser."""
        for file in (self._out, self._in):
            os.close(file)
        self.process.terminate()
        self.process.wait(10)


class Tab:
    """One page in a browser, and what it said and asked for."""

    def __init__(self, browser: Chromium) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.target, self.session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of this page."""
        return self.browser.call(method, self.session, **params)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited; an exception in it is raised here."""
        reply = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            allowUnsafeEvalBlockedByCSP=False,
        )  # fmt: skip
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"]["exception"].get("description"))
        return reply["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for a condition of the page."""
        end = monotonic() + TIMEOUT
        while not self.run(condition):
            if monotonic() > end:
                raise TimeoutError(condition)

    def open(self, address: str) -> None:
        """Open a page of ours and wait until it is ready."""
        self.call("Page.navigate", url=address)
        self.until(
            f"location.href.startsWith({json.dumps(address.partition('#')[0])}) && "
            "document.documentElement?.dataset.ready === 'yes'"
        )

    def size(self, width: int, height: int, *, scale: float = 1, phone: bool = False) -> None:
        """The window's size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=phone,
        )  # fmt: skip

    def colours(self, scheme: str) -> None:
        """What the reader's system prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press one key by its name, as a reader does."""
        codes = {
            "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35,
            "Home": 36, "ArrowUp": 38, "ArrowDown": 40,
        }  # fmt: skip
        text = {"Enter": "\r", " ": " "}.get(key)
        given: dict[str, Any] = {
            "key": key, "code": {" ": "Space"}.get(key, key),
            "windowsVirtualKeyCode": codes[key], "modifiers": 8 * shift,
        }  # fmt: skip
        down = given | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def point(self, selector: str) -> tuple[float, float]:
        """Move the pointer to the middle of an element, which comes into view; its place."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.run(
            f"(() => {{ const r = {element}.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return x, y

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """Errors, warnings, violations of the policy and whatever else the console was told."""
        told = []
        for event in self._events():
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                told.append(str(details.get("exception", details).get("description", details)))
            elif event["method"] == "Runtime.consoleAPICalled":
                told.append(json.dumps(params["args"]))
            elif event["method"] == "Log.entryAdded":
                told.append(params["entry"]["text"])
            elif event["method"] == "Audits.issueAdded":
                told.append(json.dumps(params["issue"]))
        return told

    def requests(self) -> list[str]:
        """Addresses that were asked for, without the page's own and data within it."""
        sent = [
            event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("file://", "data:", "about:", "blob:"))]

    def _events(self) -> list[dict[str, Any]]:
        return [e for e in self.browser.events if e.get("sessionId") == self.session]

    def close(self) -> None:
        """Close the page."""
        self.browser.call("Target.closeTarget", targetId=self.target)


@contextmanager
def tab(browser: Chromium) -> Iterator[Tab]:
    """A page of its own, closed at the end."""
    opened = Tab(browser)
    try:
        yield opened
    finally:
        opened.close()
