"""A picture of the page of a folder of runs: ``python -m tests.leaderboards.page.screenshot``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from leaderboards.page import to_html
from leaderboards.view import view
from tests.leaderboards.page.chromium import Chromium, find, tab

SIZES = {"light": (1280, 1235), "dark": (1280, 1235), "phone": (360, 780)}


def picture(page: Path, look: str) -> bytes:
    """The head of a page as PNG, in one of ``SIZES``."""
    program = find()
    if program is None:
        sys.exit("no Chromium is installed; install it, on Debian with `apt install chromium`")
    with TemporaryDirectory() as folder:
        browser = Chromium(program, Path(folder) / "profile")
        try:
            with tab(browser) as window:
                width, height = SIZES[look]
                window.size(width, height, phone=look == "phone")
                window.colours("dark" if look == "dark" else "light")
                window.open(page.as_uri())
                sleep(1)  # plots are drawn after the page is ready
                return window.picture()
        finally:
            browser.close()


def main() -> None:
    """Write the picture of some runs' page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of runs")
    parser.add_argument("out", type=Path, help="PNG file")
    parser.add_argument("--look", choices=SIZES, default="light")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        page = Path(folder) / "board.html"
        page.write_bytes(to_html(view(given.runs)))
        given.out.write_bytes(picture(page, given.look))
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
