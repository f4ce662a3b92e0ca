"""The exported page in headless Chromium."""

import functools
import http.server
import shutil
import threading

import pytest
import soundfile

from daw_tools import need, sound
from export.web.site import export_web
from marssep_rt.errors import MarssepError

LAN = "marssep.test"  # a name that leads here, and that browsers do not trust as they trust localhost


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(bundle, tmp_path_factory):
    """The page's folder."""
    need("npm")
    folder = tmp_path_factory.mktemp("page") / "site"
    try:
        export_web(bundle, folder)
    except MarssepError as e:
        pytest.skip(str(e))
    return folder


@pytest.fixture(scope="session")
def server(site):
    """Serves the page; the value is its port."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def lan(server):
    """The page's address as other computers see it."""
    return f"http://{LAN}:{server}/"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium with a microphone that plays barks."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("chromium is not installed")
    microphone = tmp_path_factory.mktemp("microphone") / "barks.wav"
    soundfile.write(microphone, sound(6.0, 1).T, 48_000, subtype="PCM_16")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
        f"--host-resolver-rules=MAP {LAN} 127.0.0.1",
    ]
    with playwright.sync_playwright() as tool:
        playwright.expect.set_options(timeout=60_000)
        running = tool.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@pytest.fixture
def tab(browser):
    """A page that must end without errors and without a request to anybody else."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()
    assert not [line for line in said if "error" in line.lower()], said
    strangers = [
        url
        for url in asked
        if not url.startswith(("http://127.0.0.1:", f"http://{LAN}:", "file:", "data:", "blob:"))
    ]
    assert not strangers


@pytest.fixture
def page(tab, server):
    """The page, its model loaded."""
    from playwright.sync_api import expect

    tab.goto(f"http://127.0.0.1:{server}/")
    expect(tab.locator("#status")).to_contain_text("Ready")
    return tab
