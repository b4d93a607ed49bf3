"""JPEG XL, by pylibjxl, which has no wheel for Linux on ARM."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

# Imported for the first photo that needs it: the import takes as long as ten photos.
IS_READ = find_spec("pylibjxl") is not None


def size(data: bytes) -> tuple[int, int]:
    """Give the width and height of a JPEG XL in pixels. Raises RuntimeError for damaged data."""
    import pylibjxl

    header: dict[str, Any] = pylibjxl.probe(data)
    return header["width"], header["height"]


def read(data: bytes) -> Image.Image:
    """Decode the first frame of a JPEG XL, turned upright, with its colour profile in `info`.

    Raises RuntimeError for data that are damaged or cut short.
    """
    import pylibjxl

    pixels, parts = pylibjxl.decode(data, metadata=True)
    image = Image.fromarray(np.squeeze(pixels))
    if "icc" in parts:
        image.info["icc_profile"] = parts["icc"]
    return image
