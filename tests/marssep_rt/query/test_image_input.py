import numpy as np
import pytest
from PIL import Image

from marssep_rt.errors import ImageError
from marssep_rt.query.image_input import read_image, views

RNG = np.random.default_rng(4)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "a.jpg"),
        ("RGB", "a.png"),
        ("RGB", "a.webp"),
        ("RGB", "a.bmp"),
        ("CMYK", "a.jpg"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.gif"),
        ("RGBA", "a.png"),
        ("LA", "a.png"),
        ("I;16", "a.png"),
        ("I;16", "a.tiff"),
        ("F", "a.tiff"),
    ],
)
def test_modes_and_formats(tmp_path, mode, name):
    Image.new(mode, (90, 60)).save(tmp_path / name)
    rgb = read_image(tmp_path / name, 64)
    assert rgb.dtype == np.uint8
    assert rgb.shape[2] == 3
    assert views(rgb, 64).shape == (4, 3, 64, 64)


def test_transparency_is_white_and_sixteen_bits_keep_their_range(tmp_path):
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png", 16).min() == 255
    ramp = np.linspace(0, 60_000, 400).reshape(20, 20).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    deep = read_image(tmp_path / "deep.png", 64)
    assert deep.min() == 0
    assert deep.max() == 255
    assert 100 < deep.mean() < 155


def test_an_image_lies_as_its_camera_was_held(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg", 64).shape[:2] == (40, 20)


def test_large_pictures_shrink_and_panoramas_work(tmp_path):
    Image.new("RGB", (20_000, 300)).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png", 64).shape[0] == 64
    Image.fromarray(RNG.integers(0, 255, (1500, 2000, 3), np.uint8)).save(tmp_path / "large.jpg")
    assert min(read_image(tmp_path / "large.jpg", 64).shape[:2]) == 64


def test_views_are_the_middle_and_the_whole_each_mirrored():
    rgb = np.zeros((64, 128, 3), np.uint8)
    rgb[:, :32] = 255  # only at the left edge, outside the middle square
    middle, mirrored, whole, whole_mirrored = views(rgb, 64)
    assert middle.max() == 0
    assert mirrored.max() == 0
    assert whole[:, :, :14].min() == 1
    np.testing.assert_array_equal(whole[:, :, ::-1], whole_mirrored)


def test_bad_files_are_one_sentence(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    Image.fromarray(RNG.integers(0, 255, (300, 200, 3), np.uint8)).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])
    (tmp_path / "text.png").write_text("no image")
    huge = (
        b"\x89PNG\r\n\x1a\n"
        + (13).to_bytes(4, "big")
        + b"IHDR"
        + (60_000).to_bytes(4, "big") * 2
        + b"\x08\x02\x00\x00\x00"
    )
    import zlib

    (tmp_path / "huge.png").write_bytes(
        huge + zlib.crc32(huge[12:]).to_bytes(4, "big") + b"\x00\x00\x00\x00IEND\xaeB`\x82"
    )
    for name, words in (
        ("one.png", "1x1 pixels"),
        ("half.jpg", "damaged or truncated"),
        ("text.png", "not an image"),
        ("huge.png", "too large|megapixels"),
        ("none.png", "no image at"),
    ):
        with pytest.raises(ImageError, match=words):
            read_image(tmp_path / name, 64)
