import json
import shutil

import pytest

from marssep_rt import Separator
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles


@pytest.fixture
def copy(bundle, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    return tmp_path / "b"


def change_card(path, **changes):
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps({**card, **changes}))


def test_the_embedded_bundle_is_whole_and_within_its_sizes(bundle):
    bundles.verify(bundle)
    sizes = {name: len(bundle.read(name)) for name in bundle.card["files"]}
    assert sizes["text.onnx"] <= 10_000_000
    assert sizes["separator.onnx"] <= 8_000_000
    assert sizes["audio.onnx"] <= 5_000_000
    assert sum(sizes.values()) <= 24_000_000
    assert bundle.card["parameters"] <= 2_500_000
    assert bundle.card["algorithmic_latency_ms"] <= 20


def test_wrong_hash(copy):
    data = bytearray((copy / "separator.onnx").read_bytes())
    data[1000] ^= 1
    (copy / "separator.onnx").write_bytes(data)
    with pytest.raises(BundleError, match="does not match its recorded hash"):
        Separator("rain", bundle=copy)


def test_missing_file(copy):
    (copy / "text.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks text\.onnx"):
        Separator("rain", bundle=copy)


def test_newer_format(copy):
    change_card(copy, format=2)
    with pytest.raises(BundleError, match="newer"):
        bundles.load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}'])
def test_card_that_is_none(copy, content):
    (copy / "card.json").write_text(content)
    with pytest.raises(BundleError):
        bundles.load(copy)


def test_card_that_points_outside(copy):
    change_card(copy, files={"../evil": "00"})
    with pytest.raises(BundleError, match="outside"):
        bundles.load(copy)


def test_no_bundle_there(tmp_path):
    with pytest.raises(BundleError, match="no model bundle"):
        bundles.load(tmp_path / "none")
    (tmp_path / "x.marssep").write_bytes(b"junk")
    with pytest.raises(BundleError, match="neither"):
        bundles.load(tmp_path / "x.marssep")


def test_zipped_bundle_is_the_same(bundle, tmp_path):
    files = {name: bundle.read(name) for name in bundle.card["files"]}
    card = {k: v for k, v in bundle.card.items() if k not in ("files", "format")}
    bundles.write(tmp_path / "m.marssep", card, files)
    again = bundles.load(tmp_path / "m.marssep")
    assert again.card == bundle.card
    bundles.verify(again)


def test_write_replaces_bundles_only(bundle, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(BundleError, match="is not a bundle"):
        bundles.write(tmp_path / "mine", {"name": "x"}, {})
    assert (tmp_path / "mine" / "thesis.txt").exists()
