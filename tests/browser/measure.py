"""Hop times and latency of the exported page, and its pictures.

    python tests/browser/measure.py [SITE] [--pictures FOLDER]

Pictures: ``first``, ``result`` and ``live`` at 1280 and 375 pixels.
"""

import argparse
import functools
import http.server
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from export.web.site import export_web
from marssep_rt.model import bundle as bundles

SENTENCES = ("dog barking", "dog barking and siren", "dog barking and siren without rain")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(folder: Path) -> str:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def hop_times(browser: Browser, url: str) -> None:
    """What the page itself says while the microphone runs, for more and more sounds."""
    page = browser.new_page()
    page.goto(url)
    for number, sentence in enumerate(SENTENCES):
        page.fill("#query", sentence)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text(sentence, timeout=60_000)
        if number == 0:
            page.locator("#microphone").click()
        page.wait_for_timeout(5000)
        print(f"{sentence}: {page.locator('#timing').text_content()}")
    page.close()


def pictures(browser: Browser, url: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in ((1280, 800), (375, 812)):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        expect(page.locator("#status")).to_contain_text("Ready", timeout=60_000)
        page.screenshot(path=folder / f"first-{width}.png", full_page=True)
        page.locator("#demo").click()
        expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
        page.wait_for_timeout(1000)
        page.screenshot(path=folder / f"result-{width}.png", full_page=True)
        page.locator("#microphone").click()
        page.wait_for_timeout(3000)
        page.screenshot(path=folder / f"live-{width}.png", full_page=True)
        page.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument(
        "site", nargs="?", type=Path, help="a folder of marssep export web; without it one is made"
    )
    options.add_argument("--pictures", type=Path, help="the folder of the pictures")
    given = options.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium; apt-get install chromium")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as tool:
        site = given.site or Path(place) / "site"
        if given.site is None:
            export_web(bundles.load(), site)
        browser = tool.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        url = serve(site)
        hop_times(browser, url)
        if given.pictures is not None:
            pictures(browser, url, given.pictures)
        browser.close()


if __name__ == "__main__":
    main()
