"""Decode on the GPU the JPEGs that nvImageCodec decodes as Pillow does."""

import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from meanface.engine.colour import is_srgb
from meanface.engine.jpeg import has_all_scans
from meanface.sources.formats import tiff_tags

_SOF0, _SOF2, _SOS, _EOI = 0xC0, 0xC2, 0xDA, b"\xff\xd9"
_EXIF, _PROFILE, _ADOBE = b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe"
_ORIENTATION = 0x0112
_LEAST = {_SOF0: 11, _SOF2: 11, _SOS: 8}  # the length of a segment with one component


class Plain:
    """A JPEG that a GPU may decode: how large it is, and how it is to be turned."""

    __slots__ = ("data", "height", "orientation", "width")

    def __init__(self, data: bytes, height: int, width: int, orientation: int) -> None:
        """Height and width are those before turning; `orientation` is EXIF's."""
        self.data, self.height, self.width, self.orientation = data, height, width, orientation


def plain_jpeg(data: bytes, max_pixels: int) -> Plain | None:
    """Give the JPEG if it is whole and of a usual kind; None: the processor decodes or refuses it.

    Usual are 8 bits, baseline or progressive, grey or YCbCr in sRGB, of `max_pixels` at most. What
    the segments mean: ISO/IEC 10918-1, annex B; JFIF 1.02; Exif 2.32.
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    at, transform, in_xmp = 2, -1, False
    size = progressive = components = tags = None
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = at + 4
        if length < _LEAST.get(marker, 2) or at + 2 + length > len(data):
            return None
        if marker == 0xE1 and data.startswith(_EXIF, body):
            if tags is not None:  # Pillow joins both
                return None
            tags = tiff_tags(data[body + 6 : at + 2 + length])
        elif marker == 0xE1:
            in_xmp = in_xmp or data.find(b"tiff:Orientation", body, at + 2 + length) >= 0
        elif marker == 0xE2 and data.startswith(_PROFILE, body):
            if (
                length < 16
                or data[body + 13] != 1
                or not is_srgb(data[body + 14 : at + 2 + length])
            ):
                return None
        elif marker == 0xEE and data.startswith(_ADOBE, body):
            transform = data[body + 11] if length >= 14 else 0
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker not in (_SOF0, _SOF2) or size is not None or data[body] != 8:
                return None
            size = struct.unpack_from(">HH", data, body + 1)
            progressive = marker == _SOF2
            components = bytes(data[body + 6 : body + 6 + 3 * data[body + 5] : 3])
        elif marker == _SOS:
            break
        elif marker < 0xC0:
            return None
        at += 2 + length
    else:
        return None
    if size is None or components is None or not all(size) or size[0] * size[1] > max_pixels:
        return None
    is_ycc = components == b"\1\2\3" and transform in (-1, 1)
    if not (len(components) == 1 or is_ycc):
        return None
    orientation = (tags or {}).get(_ORIENTATION, 0)
    if not isinstance(orientation, int) or orientation > 8 or (in_xmp and not orientation):
        return None
    if not data.endswith(_EOI) and data.find(_EOI, at) < 0:  # truncated
        return None
    if (progressive or data[at + 4] < len(components)) and not has_all_scans(data):
        return None
    return Plain(data, size[0], size[1], max(1, orientation))


class Decoder:
    """Decodes batches of JPEGs on one GPU."""

    def __init__(self, device: torch.device) -> None:
        """Open nvImageCodec without its decoders for processors."""
        from nvidia import nvimgcodec

        self._device = device
        self._codec = nvimgcodec
        kinds = (
            nvimgcodec.BackendKind.HW_GPU_ONLY,
            nvimgcodec.BackendKind.GPU_ONLY,
            nvimgcodec.BackendKind.HYBRID_CPU_GPU,
        )
        self._decoder: Any = nvimgcodec.Decoder(
            device_id=device.index or 0,
            backends=[nvimgcodec.Backend(kind) for kind in kinds],
            options=":fancy_upsampling=1",
        )
        self._params = nvimgcodec.DecodeParams(
            apply_exif_orientation=False, color_spec=nvimgcodec.ColorSpec.SRGB
        )

    def __call__(self, photos: Sequence[Plain]) -> list[Tensor | None]:
        """Give the photos, uint8 (height, width, 3), upright; None for one that fails."""
        if not photos:
            return []
        stream = torch.cuda.current_stream(self._device)
        streams = [self._codec.CodeStream(photo.data) for photo in photos]
        images = self._decoder.decode(streams, params=self._params, cuda_stream=stream.cuda_stream)
        return [
            None if image is None else _as_photo(image, photo)
            for image, photo in zip(images, photos, strict=True)
        ]


def _as_photo(image: Any, photo: Plain) -> Tensor | None:  # noqa: ANN401
    pixels: Tensor = torch.from_dlpack(image.to_dlpack())
    if pixels.shape != (photo.height, photo.width, 3) or pixels.dtype != torch.uint8:
        return None
    try:
        return turned(pixels, photo.orientation)
    except torch.OutOfMemoryError:
        return None


def turned(photo: Tensor, orientation: int) -> Tensor:
    """Turn and mirror a photo (height, width, 3) as EXIF's orientation asks for."""
    if orientation in (5, 6, 7, 8):
        photo = photo.transpose(0, 1)
    if orientation in (2, 3, 6, 7):
        photo = photo.flip(1)
    if orientation in (3, 4, 7, 8):
        photo = photo.flip(0)
    return photo.contiguous()
