"""JPEG XL, by pylibjxl, which has no wheel for Linux on ARM."""

from typing import Any

import numpy as np
from PIL import Image

try:
    import pylibjxl
except ImportError:
    IS_READ = False
else:
    IS_READ = True


def size(data: bytes) -> tuple[int, int]:
    """Give the width and height of a JPEG XL in pixels. Raises RuntimeError for damaged data."""
    header: dict[str, Any] = pylibjxl.probe(data)
    return header["width"], header["height"]


def read(data: bytes) -> Image.Image:
    """Decode the first frame of a JPEG XL, turned upright, with its colour profile in `info`.

    Raises RuntimeError for data that are damaged or cut short.
    """
    pixels, parts = pylibjxl.decode(data, metadata=True)
    image = Image.fromarray(np.squeeze(pixels))
    if "icc" in parts:
        image.info["icc_profile"] = parts["icc"]
    return image
