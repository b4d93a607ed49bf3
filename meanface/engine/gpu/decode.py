"""Decode on the GPU the JPEGs that nvImageCodec decodes as Pillow does."""

import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from meanface.engine.colour import is_srgb
from meanface.engine.jpeg import FRAMES, SCAN, has_all_scans, header
from meanface.sources.formats import ORIENTATION, tiff_tags

_SOF0, _SOF2, _APP1, _APP2, _APP14 = 0xC0, 0xC2, 0xE1, 0xE2, 0xEE
_EOI = b"\xff\xd9"
_EXIF, _PROFILE, _ADOBE = b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe"
_LEAST = {_SOF0: 9, _SOF2: 9, SCAN: 6}  # bytes of a segment with one component


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
    transform, in_xmp, scan = -1, False, 0
    size = progressive = components = tags = None
    for marker, begin, end in header(data):
        content = data[begin:end]
        if not begin <= end <= len(data) or len(content) < _LEAST.get(marker, 0):
            return None
        if marker == _APP1 and content.startswith(_EXIF):
            if tags is not None:  # Pillow joins both
                return None
            tags = tiff_tags(content[len(_EXIF) :])
        elif marker == _APP1:
            in_xmp = in_xmp or b"tiff:Orientation" in content
        elif marker == _APP2 and content.startswith(_PROFILE):
            if content[13:14] != b"\1" or not is_srgb(content[14:]):  # the number of its parts
                return None
        elif marker == _APP14 and content.startswith(_ADOBE):
            transform = content[11] if len(content) >= 12 else 0
        elif marker in FRAMES:
            if marker not in (_SOF0, _SOF2) or size is not None or content[0] != 8:
                return None
            size = struct.unpack_from(">HH", content, 1)
            progressive = marker == _SOF2
            components = content[6 : 6 + 3 * content[5] : 3]
        elif marker == SCAN:
            scan = begin
        elif marker < _SOF0:
            return None
    if not scan:
        return None
    if size is None or components is None or not all(size) or size[0] * size[1] > max_pixels:
        return None
    is_ycc = components == b"\1\2\3" and transform in (-1, 1)
    if not (len(components) == 1 or is_ycc):
        return None
    orientation = (tags or {}).get(ORIENTATION, 0)
    if not isinstance(orientation, int) or orientation > 8 or (in_xmp and not orientation):
        return None
    if not data.endswith(_EOI) and data.find(_EOI, scan) < 0:  # truncated
        return None
    if (progressive or data[scan] < len(components)) and not has_all_scans(data):
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
