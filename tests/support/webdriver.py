"""A browser, driven over the WebDriver protocol (W3C), which is HTTP and JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from support.services import HOST, free_port, missing, wait_until

BINDS_SESSIONS = "--enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
"""Has Chromium bind sessions to keys. Linux has no other keys that a test could use."""

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = [
    "--headless",
    # as root there is no sandbox to enter
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    # names of several sites, all on loopback; nothing else is ever looked up
    f"--host-resolver-rules=MAP *.test {HOST}, MAP * ~NOTFOUND, EXCLUDE {HOST}",
]


class Browser:
    """Chromium with a fresh profile.

    Args:
        arguments: More of Chromium's.
        home: Where Chromium looks for certificates that it trusts; None: it takes any certificate.
    """

    def __init__(self, *arguments: str, home: Path | None = None) -> None:
        driver = shutil.which("chromedriver") or missing("chromedriver (Debian: chromium-driver)")
        self._chromium = shutil.which("chromium") or missing("chromium (Debian: chromium)")
        self._profile = tempfile.mkdtemp(prefix="session-mw-browser-")
        self._trusts_all = home is None
        self._arguments = [*_ARGUMENTS, *arguments, f"--user-data-dir={self._profile}"]
        if self._trusts_all:
            self._arguments.append("--ignore-certificate-errors")
        port = free_port()
        # a proxy of the environment is not for loopback
        self._open = build_opener(ProxyHandler({})).open
        environment = os.environ if home is None else {**os.environ, "HOME": str(home)}
        self._driver = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, env=environment)
        self._root = self._driver_root = f"http://{HOST}:{port}"
        try:
            wait_until(self._is_up, "chromedriver does not answer")
            self._start()
        except BaseException:
            self._end()
            raise

    def _start(self) -> None:
        self._root = self._driver_root
        options = {
            "binary": self._chromium,
            "args": self._arguments,
            # Debian's Chromium blocks the cookies of frames from other sites unless it is told not to
            "prefs": {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}},
        }
        wanted = {"browserName": "chrome", "acceptInsecureCerts": self._trusts_all, "goog:chromeOptions": options}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{answer['sessionId']}"

    def restart(self) -> None:
        """Close the browser, and start it again with what it has kept on disk."""
        self._call("DELETE", "")
        self._start()

    def get(self, url: str) -> str:
        """Open an address; the page's text."""
        self._call("POST", "/url", {"url": url})
        return self.text

    @property
    def text(self) -> str:
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def wait_for(self, text: str) -> str:
        """Wait until the page after a click has come, which shows the text; all of its text."""
        wait_until(lambda: text in self.text, f"the page does not show {text!r}")
        return self.text

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; what it returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def type(self, selector: str, text: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/click", {})

    def press_tab(self) -> None:
        """Press the key Tab."""
        keys = [{"type": kind, "value": "\ue004"} for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def show(self, width: int, height: int = 800, *, dark: bool = False) -> None:
        """Be a screen of that size, in CSS pixels, of somebody who prefers dark or light pages."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", **screen)
        # Those of phones lie above the page, and take no place from it.
        self._devtools("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self) -> bytes:
        """The whole page as a PNG, also what lies below the screen."""
        shot = self._devtools("Page.captureScreenshot", captureBeyondViewport=True)
        return b64decode(shot["data"])

    def enter_frame(self) -> None:
        """Let ``text`` and ``run`` mean the page's first frame, until the next address."""
        self._call("POST", "/frame", {"id": 0})

    def leave_frame(self) -> None:
        self._call("POST", "/frame", {"id": None})

    def cookie(self, name: str) -> dict[str, Any] | None:
        """A cookie of the page, as WebDriver tells it; None if there is none."""
        cookies: list[dict[str, Any]] = self._call("GET", "/cookie")
        return next((cookie for cookie in cookies if cookie["name"] == name), None)

    def jar(self) -> list[dict[str, Any]]:
        """Every cookie that the browser keeps, of all sites, paths and partitions."""
        kept: list[dict[str, Any]] = self._devtools("Network.getAllCookies")["cookies"]
        return kept

    def forget_cookie(self, name: str, url: str) -> None:
        self._devtools("Network.deleteCookies", name=name, url=url)

    def forget_cookies(self) -> None:
        self._devtools("Network.clearBrowserCookies")

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._end()

    def _devtools(self, command: str, **parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def _is_up(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except OSError:
            return False

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            with error:
                problem = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {problem['error']}: {problem['message']}") from None

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait()
        shutil.rmtree(self._profile, ignore_errors=True)
