"""Which bytes are a photo."""

import io
from functools import cache


@cache
def readable_formats() -> list[str]:
    """Give the formats that Pillow may open: those of photos, decoded by Pillow itself.

    EPS is left out since Pillow would start Ghostscript for it.
    """
    from PIL import Image  # takes a fifth of a second, which most jobs need not spend

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # max_pixels is the limit, and gives a row of the failure table
    names = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
    return [name for name in names if name in Image.OPEN]


def is_photo(path: str, data: bytes | None, suffixes: frozenset[str]) -> bool:
    """Tell a photo by the ending of its name (`.jpg`, in any case) or else by its content.

    The content is a photo if Pillow finds the header of one of readable_formats() in it. Nothing is
    decoded. Without data, only the name counts.
    """
    if path.lower().endswith(tuple(suffix.lower() for suffix in suffixes)):
        return True
    if data is None:
        return False
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()):
            return True
    except Exception:  # a plugin of Pillow may raise anything on bytes that are no photo
        return False
