"""An image as a query: any file that Pillow reads -> the square views that an image encoder looks at."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE = 16
MOST_PIXELS = 200_000_000


def read_image(path: Path | str, size: int) -> npt.NDArray[np.uint8]:
    """Read an image: upright, the first frame of an animation, transparency white.

    Args:
        path: An image file that Pillow reads.
        size: The shorter side is scaled down to about this many pixels.

    Returns:
        RGB, uint8 [H, W, 3].

    Raises:
        ImageError: The file is missing, truncated, not an image, or has fewer than 16 pixels a side or more
            than 200 megapixels.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about odd but readable files
            with Image.open(path) as image:
                _check_size(path, *image.size)
                image.draft("RGB", (2 * size, 2 * size))  # JPEG decodes at a fraction of its size
                return np.asarray(_shrunk(_upright_rgb(image), size))
    except ImageError:
        raise
    except FileNotFoundError as e:
        raise ImageError(f"there is no image at {path}") from e
    except IsADirectoryError as e:
        raise ImageError(f"{path} is a folder; name an image in it") from e
    except UnidentifiedImageError as e:
        raise ImageError(f"{path} is not an image that Pillow can read") from e
    except Image.DecompressionBombError as e:
        limit = MOST_PIXELS // 10**6
        raise ImageError(f"{path} is too large an image; shrink it below {limit} megapixels") from e
    except (
        Exception
    ) as e:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise ImageError(f"{path} is damaged or truncated and cannot be read as an image") from e


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise ImageError(
            f"{path} has {width}x{height} pixels; "
            f"an image needs at least {LEAST_SIDE} a side to show anything"
        )
    if width * height > MOST_PIXELS:
        limit = MOST_PIXELS // 10**6
        raise ImageError(f"{path} has {width}x{height} pixels; shrink it below {limit} megapixels")


def _upright_rgb(image: Image.Image) -> Image.Image:
    """The image with its EXIF rotation applied, transparency on white, and eight bits a channel."""
    from PIL import Image, ImageOps

    upright: Image.Image = ImageOps.exif_transpose(image)
    if "A" in upright.getbands() or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if upright.mode.startswith(("I", "F")):  # sixteen bits a pixel and more: Pillow would clip them to white
        grey = np.asarray(upright, np.float64)
        low, high = float(grey.min()), float(grey.max())
        upright = Image.fromarray(((grey - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
    return upright.convert("RGB")


def _shrunk(rgb: Image.Image, size: int) -> Image.Image:
    from PIL import Image

    scale = size / min(rgb.size)
    if scale >= 1:
        return rgb
    shape = (max(size, round(rgb.width * scale)), max(size, round(rgb.height * scale)))
    return rgb.resize(shape, Image.Resampling.LANCZOS)


def views(rgb: npt.NDArray[np.uint8], size: int) -> Array:
    """The four views that the image encoder gets: the middle square and the whole image, each also mirrored.

    Args:
        rgb: uint8 [H, W, 3].
        size: Pixels a side of the views.

    Returns:
        float32 [4, 3, size, size], 0..1.
    """
    from PIL import Image

    height, width, _ = rgb.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    images = []
    for part in (rgb[top : top + side, left : left + side], rgb):
        small = (
            np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
        )
        images += [small, small[:, ::-1]]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
