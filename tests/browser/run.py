"""The exported page in headless Chromium: files, a fake microphone, phone width, keyboard. By hand, not part of the tests:

    apt-get install chromium; pip install playwright
    python tests/browser/run.py [SITE] [--picture page.png]

The page's output must equal the runtime's on the page's own input.
"""

import argparse
import base64
import functools
import http.server
import io
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from daw_tools import sound

from marssep_rt import Separator, embed_text
from marssep_rt.query.query_file import read_query

QUERY = "dog barking"
FAR = "quarterly tax returns"
SAVED = "async id => { const b = await (await fetch(document.getElementById(id).href)).arrayBuffer(); let s = ''; " \
    "for (const x of new Uint8Array(b)) s += String.fromCharCode(x); return btoa(s) }"  # fmt: skip


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(folder: Path) -> str:
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def saved(page: Page, name: str) -> np.ndarray:
    """The file behind a download link, [C, n]."""
    return soundfile.read(io.BytesIO(download(page, name)), dtype="float32", always_2d=True)[0].T


def download(page: Page, name: str) -> bytes:
    return base64.b64decode(page.evaluate(SAVED, f"save-{name}"))


def runtime(x: np.ndarray, query: Path) -> np.ndarray:
    s = Separator(query_file=query)
    return s.process(np.concatenate([x, np.zeros((len(x), s.latency), np.float32)], axis=1))[:, s.latency :]


def compare(what: str, page: Page, query: Path) -> None:
    x, y = saved(page, "before"), saved(page, "after")
    n = y.shape[1]
    difference = float(np.abs(y - runtime(x, query)[:, :n]).max())
    print(f"{what}: {n / 48_000:.2f} s, largest difference from the runtime {difference:.1e}, loudest {np.abs(y).max():.3f}")
    assert difference < 1e-4
    assert np.abs(y).max() > 0.02


def check(page: Page, url: str, folder: Path, picture: Path | None) -> None:
    status = page.locator("#status")
    page.goto(url)
    expect(status).to_contain_text("Ready", timeout=60_000)
    page.keyboard.press("Tab")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    expect(status).to_have_text(f"Listening for: {QUERY}")

    page.fill("#query", FAR)
    page.keyboard.press("Enter")
    expect(status).to_contain_text(f"Listening for: {FAR}. This is far from every sound")
    page.fill("#query", QUERY)
    page.keyboard.press("Enter")
    expect(status).to_have_text(f"Listening for: {QUERY}")

    query = folder / "page.query"
    query.write_bytes(download(page, "query"))
    # the text tower's int8 sums round differently in WebAssembly
    print(f"query: cosine to the runtime's {float(read_query(query).vector @ embed_text(QUERY)):.4f}")
    assert read_query(query).vector @ embed_text(QUERY) > 0.98

    for channels in (1, 2):
        soundfile.write(folder / "x.wav", sound(2.0, channels).T, 48_000, subtype="FLOAT")
        page.set_input_files("#file", folder / "x.wav")
        expect(status).to_contain_text("Done", timeout=60_000)
        compare(f"file, {channels} channels", page, query)
        page.evaluate("document.getElementById('status').textContent = ''")
    if picture is not None:
        page.screenshot(path=picture, full_page=True)
    (folder / "no.wav").write_bytes(b"no sound")
    page.set_input_files("#file", folder / "no.wav")
    expect(status).to_contain_text("no sound that this browser can read")

    page.locator("#microphone").click()
    expect(page.locator("#microphone")).to_have_text("Stop the microphone")
    page.wait_for_timeout(1500)
    page.locator("#record").click()
    page.wait_for_timeout(4000)
    page.locator("#record").click()
    expect(status).to_contain_text("Done", timeout=20_000)
    compare("microphone", page, query)
    print("page:", page.locator("#timing").text_content())
    page.locator("#microphone").click()
    expect(page.locator("#microphone")).to_have_text("Start the microphone")

    page.set_viewport_size({"width": 360, "height": 700})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, f"the page is {wide} pixels wide on a phone of 360"
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, button, meter, progress, canvas, audio, a')].filter(e => !(e.labels?.length || "
        "e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert not nameless, f"nothing says what these are: {nameless}"
    print("phone width and names: ok")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("site", nargs="?", type=Path, help="a folder of marssep-export web; without it one is made")
    options.add_argument("--picture", type=Path, help="where a screenshot is put")
    given = options.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("there is no chromium; apt-get install chromium")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        site = given.site or folder / "site"
        if given.site is None:
            subprocess.run([Path(sys.executable).parent / "marssep-export", "web", "-o", site], check=True)
        soundfile.write(folder / "microphone.wav", sound(6.0, 1).T, 48_000, subtype="PCM_16")
        arguments = [
            "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
            "--autoplay-policy=no-user-gesture-required",
        ]  # fmt: skip
        with sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=chromium, args=arguments)
            page = browser.new_page(viewport={"width": 900, "height": 900})
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            try:
                check(page, serve(site), folder, given.picture)
            except BaseException:
                print("\n".join(said), "| status:", page.locator("#status").text_content())
                raise
            assert not [s for s in said if "error" in s.lower()], said
            browser.close()


if __name__ == "__main__":
    main()
