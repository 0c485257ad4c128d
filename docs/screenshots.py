"""Takes the pictures of the demo that README.md and the pages show.

    python docs/screenshots.py [--if-possible]

serves ``demo_app.py`` with a fixed key at a fixed time, opens its pages in a headless Chromium and writes
``docs/images/*.png``. A picture is written anew only where it looks different: the port in it is another each time, and
another release of Chromium smooths its letters otherwise.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from PIL import Image, ImageChops  # noqa: E402

from support.services import HOST, free_port, wait_until  # noqa: E402 - found by the line above
from support.sockets import ask  # noqa: E402
from support.webdriver import Browser  # noqa: E402

IMAGES = ROOT / "docs" / "images"
KEY = "the-key-of-the-screenshots-is-32-bytes"
NOW = 1_790_000_000
"""Unix time at which all pictures are taken: tokens, and what is said of their age, are the same each time."""
WIDTH, HEIGHT = 760, 900
"""Of the browser's window, in CSS pixels: two pictures stand side by side in the README."""
MOST_BYTES = 150_000
NOTICEABLE = 0.002
"""The part of a picture's pixels that have to be different, for it to be another picture."""

_SERVE = """
import runpy, sys, time
time.time = lambda: float({now})
sys.argv[:] = {argv!r}
runpy.run_path({demo!r}, run_name="__main__")
"""


def fill_the_cart(browser: Browser, site: str) -> None:
    """Lead to the demo's first page, after a log-in, with two things in the cart."""
    browser.get(site)
    browser.type('input[name="username"]', "Ada")
    browser.click('form[action="/login"] button')
    for visits, item in enumerate(("apple", "pear"), 2):
        # Only the count tells one page from the next: both have the apple, in an example.
        browser.wait_for(f"Visits in this session: {visits}")
        browser.type('input[name="item"]', item)
        browser.click('form[action="/cart"] button')
    browser.wait_for("Visits in this session: 4")


def inspect_the_cookie(browser: Browser, site: str) -> None:
    """Lead to what the inspector says of the cookie after that."""
    fill_the_cart(browser, site)
    browser.get(f"{site}_session")


PICTURES: dict[str, Callable[[Browser, str], None]] = {"demo": fill_the_cart, "inspector": inspect_the_cookie}
"""What leads to the page of a picture, by the picture's name."""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--if-possible", action="store_true", help="without Chromium keep the pictures that are there")
    options = parser.parse_args()
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    if missing and options.if_possible:
        print(f"no {' and no '.join(missing)} here (Debian: chromium, chromium-driver): the pictures stay as they are")
        return
    if missing:
        parser.error(f"no {' and no '.join(missing)} here (Debian: chromium, chromium-driver)")
    IMAGES.mkdir(exist_ok=True)
    browser = Browser()
    try:
        for name, lead in PICTURES.items():
            with served_demo() as site:
                browser.forget_cookies()
                browser.show(WIDTH, HEIGHT)
                lead(browser, site)
                keep(IMAGES / f"{name}.png", browser.screenshot())
    finally:
        browser.close()


@contextmanager
def served_demo() -> Iterator[str]:
    """``python demo_app.py``, whose clock stands still; its address."""
    port = free_port()
    code = _SERVE.format(now=NOW, argv=["demo_app.py", "--port", str(port)], demo=str(ROOT / "demo_app.py"))
    environment = os.environ | {"SECRET_KEY": KEY, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: process.poll() is not None or answers(port), "the demo does not answer")
            yield f"http://{HOST}:{port}/"
        finally:
            process.terminate()
            process.wait(10)


def answers(port: int) -> bool:
    """Whether something serves the port."""
    try:
        return ask(port, "/").status == 200
    except OSError:
        return False


def keep(file: Path, png: bytes) -> None:
    """Write a picture with few colours, and so few bytes, unless the one that is there looks the same."""
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    picture = whole.crop((0, 0, whole.width, HEIGHT)).quantize(256, dither=Image.Dither.NONE)
    if file.exists() and looks_the_same(picture, Image.open(file)):
        print(f"{file.relative_to(ROOT)} stays as it is")
        return
    picture.save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)} is new: {size} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"{file.name} has more than {MOST_BYTES} bytes")


def looks_the_same(one: Image.Image, other: Image.Image) -> bool:
    """Whether hardly any pixel is clearly different."""
    if one.size != other.size:
        return False
    difference = ImageChops.difference(one.convert("L"), other.convert("L"))
    clearly = sum(difference.histogram()[48:])
    return clearly <= NOTICEABLE * one.width * one.height


if __name__ == "__main__":
    main()
