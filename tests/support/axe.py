"""Whether people can use a page, at any width and by keyboard, as far as a program can tell."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path

from support.services import missing
from support.webdriver import Browser

VERSION = "4.14.1"
_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
"""axe's rules for the Web Content Accessibility Guidelines 2.2, levels A and AA."""

_RUN = """
return axe.run(document, {runOnly: {type: "tag", values: arguments[0]}, resultTypes: ["violations"]}).then(
  found => found.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id} at ${node.target.join(" ")}: ${node.failureSummary.replace(/\\s+/g, " ")}`)))
"""
# What lies in a box that scrolls or clips can be reached, or is meant not to be seen.
_SIDEWAYS = """
const width = document.documentElement.clientWidth, found = [];
const clips = element => element && element !== document.body &&
  (getComputedStyle(element).overflowX !== "visible" || clips(element.parentElement));
for (const element of document.body.querySelectorAll("*")) {
  const box = element.getBoundingClientRect();
  if (box.width && (box.right > width + 1 || box.left < -1) && !clips(element.parentElement))
    found.push(`${element.outerHTML.slice(0, 90)} lies from ${box.left} to ${box.right} of ${width} pixels`);
}
const whole = document.documentElement.scrollWidth;
if (whole > width) found.push(`the page is ${whole} pixels wide`);
return found.slice(0, 5)
"""
_FOCUSABLE = """
const focusable = "a[href], button, input, select, textarea, summary, iframe, [tabindex], [contenteditable]";
window.toReach = [...document.querySelectorAll(focusable)].filter(
  element => element.tabIndex >= 0 && !element.disabled && element.type !== "hidden" && element.checkVisibility());
// An element that is removed while it has the focus leaves the next Tab to begin there.
const start = document.createElement("span");
start.tabIndex = -1;
document.body.prepend(start);
start.focus();
start.remove();
return window.toReach.map(element => element.outerHTML.slice(0, 90))
"""
_FOCUSED = """
const element = document.activeElement, style = getComputedStyle(element);
// Within a frame it is the frame's page that shows where the focus is.
const shows = style.outlineStyle !== "none" || style.boxShadow !== "none" || element.tagName === "IFRAME";
return [window.toReach.indexOf(element), shows]
"""


def fetched_source(directory: Path) -> str:
    """axe-core's script, which is fetched from npm once and kept in the directory."""
    archive = directory / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        _fetch(archive)
    data = archive.read_bytes()
    assert b64encode(hashlib.sha512(data).digest()).decode() == _SHA512, f"{archive.name} is not what was published"
    with tarfile.open(archive) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def _fetch(archive: Path) -> None:
    npm = shutil.which("npm") or missing("npm (Debian: npm)")
    with tempfile.TemporaryDirectory() as directory:
        argv = [npm, "pack", f"axe-core@{VERSION}", "--pack-destination", directory]
        done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=120)
        if done.returncode:
            missing(f"axe-core {VERSION} (npm pack: {done.stderr.strip()[-300:]})")
        shutil.move(Path(directory) / archive.name, archive)


class Axe:
    """Looks at the page that a browser shows.

    The driver runs the script in the page, so that a strict Content-Security-Policy stays as it is. A page in a frame
    is looked at after ``browser.enter_frame()``.

    Args:
        source: axe-core's script.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def flaws(self, browser: Browser, *, keyboard: bool = True) -> list[str]:
        """What keeps people out: axe's findings, what sticks out sideways, what Tab does not reach or show.

        Args:
            keyboard: Whether Tab is pressed until all has been reached.
        """
        if not browser.run("return 'axe' in window"):
            browser.run(self._source)
        found: list[str] = browser.run(_RUN, TAGS)
        found += browser.run(_SIDEWAYS)
        return [*found, *self._keyboard_flaws(browser)] if keyboard else found

    @staticmethod
    def _keyboard_flaws(browser: Browser) -> list[str]:
        to_reach: list[str] = browser.run(_FOCUSABLE)
        reached, flaws = list[str](), []
        # Chromium lets Tab stop at boxes that scroll, too.
        for _ in range(2 * len(to_reach)):
            if len(reached) == len(to_reach):
                break
            browser.press_tab()
            place, is_shown = browser.run(_FOCUSED)
            if place >= 0:
                reached.append(to_reach[place])
                flaws += [] if is_shown else [f"{to_reach[place]} does not show that it has the focus"]
        if reached != to_reach:
            flaws.append(f"Tab goes to {reached} and not to {to_reach}")
        return flaws
