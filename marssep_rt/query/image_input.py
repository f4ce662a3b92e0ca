"""A picture as a query: any file that Pillow reads -> the square views that an image tower looks at."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.errors import ImageError

LEAST_SIDE = 16
MOST_PIXELS = 200_000_000


def read_image(path: Path | str, size: int) -> npt.NDArray[np.uint8]:
    """RGB uint8 [H, W, 3], upright, first frame of an animation, shrunk so that the shorter side is about ``size`` or a little more.

    Transparency becomes white. Raises ImageError: missing, no picture, truncated, fewer than 16 pixels a side, more than 200 megapixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow finds odd but can read is no business of the user's
            with Image.open(path) as image:
                width, height = image.size
                if min(width, height) < LEAST_SIDE:
                    raise ImageError(f"{path} has {width}x{height} pixels; a picture needs at least {LEAST_SIDE} a side to show anything")
                if width * height > MOST_PIXELS:
                    raise ImageError(f"{path} has {width}x{height} pixels; shrink it below {MOST_PIXELS // 10**6} megapixels")
                image.draft("RGB", (2 * size, 2 * size))  # JPEG decodes at a fraction of its size
                upright = ImageOps.exif_transpose(image)
                if "A" in upright.getbands() or "transparency" in upright.info:
                    rgba = upright.convert("RGBA")
                    upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
                if upright.mode.startswith(("I", "F")):  # sixteen and more bits a pixel: Pillow would clip them to white
                    grey = np.asarray(upright, np.float64)
                    low, high = float(grey.min()), float(grey.max())
                    upright = Image.fromarray(((grey - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
                rgb = upright.convert("RGB")
                scale = size / min(rgb.size)
                if scale < 1:
                    rgb = rgb.resize((max(size, round(rgb.width * scale)), max(size, round(rgb.height * scale))), Image.Resampling.LANCZOS)
                return np.asarray(rgb)
    except ImageError:
        raise
    except FileNotFoundError as e:
        raise ImageError(f"there is no picture at {path}") from e
    except UnidentifiedImageError as e:
        raise ImageError(f"{path} is not a picture that Pillow can read") from e
    except Image.DecompressionBombError as e:
        raise ImageError(f"{path} is too large a picture; shrink it below {MOST_PIXELS // 10**6} megapixels") from e
    except Exception as e:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise ImageError(f"{path} is damaged or truncated and cannot be read as a picture") from e


def views(rgb: npt.NDArray[np.uint8], size: int) -> Array:
    """What the tower sees of a picture: its middle square and the whole of it squeezed, each also mirrored; float32 [4, 3, size, size]."""
    from PIL import Image

    height, width, _ = rgb.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pictures = []
    for part in (rgb[top : top + side, left : left + side], rgb):
        small = np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
        pictures += [small, small[:, ::-1]]
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
