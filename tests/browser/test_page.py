"""What a visitor of the page does; what comes out must equal the runtime's output on the page's own input."""

import io
import re

import numpy as np
import pytest
import soundfile

from daw_tools import sound
from marssep_rt import Separator, embed_text
from marssep_rt.dsp.mixer import strength_settings
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import read_query
from marssep_rt.query.types import QueryRequest
from waiting import wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

QUERY, OTHER = "dog barking", "siren"
FAR = "quarterly tax returns"
HOP = 480


def ask(page, sentence):
    page.fill("#query", sentence)
    page.keyboard.press("Enter")


def status(page):
    return page.locator("#status")


def give(page, folder, channels=1, name="my meeting.wav", seconds=2.0):
    """Upload barks over noise, [C, n]."""
    x = sound(seconds, channels)
    soundfile.write(folder / name, x.T, 48_000, subtype="FLOAT")
    page.set_input_files("#file", folder / name)
    return x


def saved(page, button):
    """The file behind a download button: its name and content."""
    with page.expect_download() as waiting:
        page.locator(button).click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def audio(content):
    """[C, n]."""
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0].T


def runtime(x, query):
    """The runtime's target, aligned with ``x``."""
    s = Separator(query=query)
    return s.process(np.concatenate([x, np.zeros((len(x), s.latency), np.float32)], axis=1))[:, s.latency :]


def close(y, wanted):
    assert y.shape == wanted.shape
    assert float(np.abs(wanted).max()) > 0.02
    assert float(np.abs(y - wanted).max()) < 1e-4


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_with_the_keyboard(page, tmp_path, channels):
    page.keyboard.press("Tab")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text(f"Query: {QUERY}. Now choose a sound.")
    x = give(page, tmp_path, channels)
    expect(status(page)).to_have_text(f"Done: {QUERY}, in my meeting.wav.")
    expect(page.locator("#facts")).to_contain_text(f"Presence: {QUERY}")
    expect(page.locator("#facts")).to_contain_text("Output level:")
    name, content = saved(page, "#save-after")
    assert name == "my meeting.dog-barking.wav"
    close(audio(content), runtime(x, QUERY))
    name, content = saved(page, "#save-before")
    assert name == "my meeting.wav"
    np.testing.assert_allclose(audio(content), x, atol=1e-6)


def test_a_query_file_is_the_commands(page, tmp_path):
    ask(page, f"{QUERY} and {OTHER}")
    expect(page.locator("#query-files button")).to_have_count(2)
    name, content = saved(page, "#query-files button >> nth=0")
    assert name == "dog-barking.query"
    (tmp_path / name).write_bytes(content)
    query = read_query(tmp_path / name)
    assert query.label == QUERY
    assert (
        query.vector @ embed_text(QUERY) > 0.98
    )  # the text encoder's int8 sums round differently in WebAssembly


def test_several_sounds_and_not(page, tmp_path):
    page.fill("#query", f"{QUERY} and {OTHER}")  # not applied: the file does it
    x = give(page, tmp_path)
    expect(status(page)).to_have_text(f"Done: {QUERY} and {OTHER}, in my meeting.wav.")
    expect(page.locator("#facts")).to_contain_text(f"{OTHER} 0.")
    name, both = saved(page, "#save-after")
    assert name == "my meeting.dog-barking-and-siren.wav"
    ask(page, f"{QUERY} but not {OTHER}")
    expect(status(page)).to_have_text(f"Done: {QUERY} without {OTHER}, in my meeting.wav.")
    _, one = saved(page, "#save-after")
    close(audio(both), runtime(x, f"{QUERY} and {OTHER}"))
    close(audio(one), runtime(x, f"{QUERY} but not {OTHER}"))


def test_negation_output_and_strength(page, tmp_path):
    """A new query redoes the file; output and strength are heard at once."""
    x = give(page, tmp_path)
    expect(status(page)).to_have_text("Now say what you want to hear in my meeting.wav.")
    expect(page.locator("#save-after")).to_be_disabled()
    expect(page.locator("#saved-as")).to_have_text("The output is not there yet.")
    ask(page, f"remove the {QUERY}")
    expect(status(page)).to_have_text(f"Done: everything but {QUERY}, in my meeting.wav.")
    expect(page.locator("input[value=residual]")).to_be_checked()
    name, content = saved(page, "#save-after")
    assert name == "my meeting.without-dog-barking.wav"
    target = runtime(x, QUERY)
    close(audio(content), x - target)
    page.locator("#strength").fill("50")
    expect(page.locator("#strength-value")).to_have_text("50 %")
    leak = 10 ** (-15 / 20)
    close(audio(saved(page, "#save-after")[1]), x - (1 - leak) * target)
    ask(page, QUERY)
    expect(status(page)).to_have_text(f"Done: {QUERY}, in my meeting.wav.")
    expect(page.locator("input[value=target]")).to_be_checked()
    close(audio(saved(page, "#save-after")[1]), (1 - leak) * target + leak * x)


def test_errors_and_doubts_vanish_when_they_are_over(page, tmp_path):
    (tmp_path / "no.wav").write_bytes(b"no sound")
    page.set_input_files("#file", tmp_path / "no.wav")
    expect(status(page)).to_have_text("no.wav is no sound that this browser can read.")
    expect(status(page)).to_have_class("error")
    page.locator("#query").press_sequentially("q")
    expect(status(page)).to_have_text("Ready. Say what you want to hear.")
    ask(page, " ")
    expect(status(page)).to_have_text("Say what you want to hear.")
    ask(page, ", ".join("abcdefghijklmnop") + " and q")
    expect(status(page)).to_have_text("That names 17 sounds; 16 at once work.")
    ask(page, "don't remove the dog")
    expect(status(page)).to_contain_text("can be read in two ways; say “dog” to hear it")
    expect(status(page)).to_have_class("error")
    ask(page, FAR)
    expect(status(page)).to_contain_text(f"“{FAR}” is unlike every sound")
    ask(page, QUERY)
    expect(status(page)).to_have_text(f"Query: {QUERY}. Now choose a sound.")


def test_doubted_words_attenuate_less_until_the_user_says_how_much(page, tmp_path):
    x = give(page, tmp_path)
    doubted = build_query(bundles.load(None), QueryRequest([FAR]))
    assert doubted.limit_db is not None
    ask(page, FAR)
    expect(status(page)).to_contain_text(f"Done: {FAR}, in my meeting.wav. “{FAR}” is unlike every")
    expect(status(page)).to_contain_text(f"it attenuates by at most {doubted.limit_db:g} dB.")
    limited = audio(saved(page, "#save-after")[1])
    leak = 10 ** (-doubted.limit_db / 20)
    page.locator("#strength").fill("50")
    name, content = saved(page, "#query-files button")
    (tmp_path / name).write_bytes(content)
    kept = build_query(bundles.load(None), QueryRequest(files=[tmp_path / name]))
    assert kept.limit_db == doubted.limit_db
    assert kept.warnings[0].endswith(doubted.warnings[0].rpartition(";")[2])
    half = 10 ** (-strength_settings(50)["limit_db"] / 20)
    target = (audio(saved(page, "#save-after")[1]) - half * x) / (1 - half)
    close(limited, target + leak * (x - target))
    assert float(np.abs(limited - target).max()) > 0.01
    ask(page, QUERY)
    page.locator("#strength").fill("100")
    expect(status(page)).to_have_text(f"Done: {QUERY}, in my meeting.wav.")
    close(audio(saved(page, "#save-after")[1]), runtime(x, QUERY))


def test_words_for_families_and_for_everything_else(page, tmp_path):
    x = give(page, tmp_path)
    ask(page, "background noise")
    expect(status(page)).to_have_text("Done: everything but speech and music, in my meeting.wav.")
    expect(page.locator("input[value=residual]")).to_be_checked()
    close(audio(saved(page, "#save-after")[1]), runtime(x, "background noise"))
    expect(page.locator("#facts")).to_contain_text(
        re.compile(r"Output level: (as|\d+\.\d dB below) the input")
    )
    ask(page, "accompaniment")
    expect(status(page)).to_have_text("Done: accompaniment, in my meeting.wav.")
    name, content = saved(page, "#query-files button")
    (tmp_path / name).write_bytes(content)
    family = build_query(bundles.load(None), QueryRequest(["accompaniment"]))
    assert read_query(tmp_path / name).vector @ family.vector > 0.98
    ask(page, "my voice")
    expect(status(page)).to_contain_text("“my voice” is every voice to the model")


def test_the_demo_on_one_transport(page):
    expect(page.locator("#microphone")).to_be_disabled()
    expect(page.locator("#microphone-reason")).to_contain_text("said what you want to hear")
    page.locator("#demo").click()
    expect(status(page)).to_have_text(f"Done: {QUERY}, in demo.wav.")
    expect(page.locator("#microphone-reason")).to_be_empty()
    assert page.locator("#results").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    page.get_by_role("button", name=OTHER, exact=True).click()
    expect(status(page)).to_have_text(f"Done: {OTHER}, in demo.wav.")
    place = lambda: float(page.locator("#seek").input_value())  # noqa: E731
    page.locator("#before").click(position={"x": 300, "y": 40})
    before = place()
    assert before > 1
    page.locator("#play").click()
    wait_until(lambda before=before: place() > before)
    page.get_by_role("radio", name="Input", exact=True).focus()
    before = place()
    page.keyboard.press("Space")
    expect(page.get_by_role("radio", name="Input", exact=True)).to_be_checked()
    wait_until(lambda before=before: place() > before)
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_text("Play")


# Firefox takes a microphone only into a context at the microphone's own rate.
LIKE_FIREFOX = """
const Real = AudioContext;
window.AudioContext = class extends Real {
  constructor(options = {}) {
    super(options.sampleRate ? options : { ...options, sampleRate: 44100 });
  }
  createMediaStreamSource(stream) {
    if (this.sampleRate !== 44100) throw new DOMException("different sample-rate", "NotSupportedError");
    return super.createMediaStreamSource(stream);
  }
};
"""


@pytest.mark.parametrize("like", ["", LIKE_FIREFOX], ids=["chromium", "firefox"])
def test_the_microphone(tab, server, like):
    tab.add_init_script(like)
    tab.goto(f"http://127.0.0.1:{server}/?query={QUERY}")
    expect(status(tab)).to_have_text(f"Query: {QUERY}. Now choose a sound.")
    tab.locator("#microphone").click()
    expect(tab.locator("#microphone")).to_have_text("Stop the microphone")
    expect(status(tab)).to_have_text(f"Listening for: {QUERY}.")
    expect(tab.locator("#demo")).to_be_disabled()
    expect(tab.locator("#sources-reason")).to_contain_text("Stop the microphone")
    expect(tab.locator("#timing")).to_contain_text("ms of work")
    for name in ("Input level", "Output level", "Presence"):
        expect(tab.get_by_label(name, exact=True).first).to_be_visible()
    for milliseconds in (2_000, 5_000, 15_000, 40_000):  # a slow machine takes longer to separate a second
        tab.locator("#record").click()
        tab.wait_for_timeout(milliseconds)
        tab.locator("#record").click()
        expect(status(tab)).to_contain_text("Listening for")
        x, y = (audio(saved(tab, button)[1]) for button in ("#save-before", "#save-after"))
        if x.shape[1] >= 100 * HOP:
            break
    n = x.shape[1] - HOP  # the last hop knew what came after it
    close(y[:, :n], runtime(x, QUERY)[:, :n])
    tab.locator("#microphone").click()
    expect(tab.locator("#microphone")).to_have_text("Start the microphone")
    expect(tab.locator("#live")).to_be_hidden()
    ask(tab, OTHER)  # the recording is a file like any other
    expect(status(tab)).to_have_text(f"Done: {OTHER}, in recording.wav.")


def test_http_in_the_local_network(tab, lan, tmp_path):
    tab.goto(lan)
    ask(tab, QUERY)
    expect(status(tab)).to_have_text(f"Query: {QUERY}. Now choose a sound.")
    expect(tab.locator("#microphone")).to_be_disabled()
    expect(tab.locator("#microphone-reason")).to_contain_text(
        "only to pages at https:// or http://localhost; files and the demo work here"
    )
    give(tab, tmp_path)
    expect(status(tab)).to_contain_text("Done")


def test_opened_as_a_file(browser, site):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    expect(status(page)).to_be_visible()
    expect(status(page)).to_contain_text("python -m http.server")
    page.close()


def test_a_model_that_is_not_there(browser, server):
    page = browser.new_page()
    page.route("**/separator.onnx", lambda route: route.fulfill(status=404))
    page.goto(f"http://127.0.0.1:{server}/")
    expect(status(page)).to_have_text(
        "The model cannot be loaded: the server does not have model/separator.onnx. "
        "Reload the page to try again."
    )
    expect(page.locator("#sources-reason")).to_have_text("There is no model.")
    page.close()


# Text whose contrast with what lies behind it is under 4.5 (WCAG 2 AA).
FAINT = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((s, w, i) => s + w * linear(c[i] / 255), 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c;
    }
    return rgba("Canvas");
  };
  const speaks = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const texts = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && speaks(e));
  return texts.filter((e) => {
    const colours = [luminance(rgba(getComputedStyle(e).color)), luminance(behind(e))];
    const [a, b] = colours.sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05) < 4.5;
  }).map((e) => e.outerHTML);
}
"""
NAMELESS = """
() => {
  const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby");
  const all = document.querySelectorAll("input, button, meter, progress, canvas, [role=radiogroup]");
  return [...all].filter((e) => !(named(e) || e.textContent.trim())).map((e) => e.outerHTML);
}
"""
SMALL = """
() => [...document.querySelectorAll("button")]
  .filter((b) => b.checkVisibility() && b.offsetHeight < 24)
  .map((b) => b.outerHTML)
"""


def test_phone_width_names_and_contrast(page):
    page.locator("#demo").click()
    expect(status(page)).to_contain_text("Done")
    for width in (320, 375, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(NAMELESS) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(FAINT) == []
    assert page.evaluate(SMALL) == []
