"""dlib's frontal face detector: HOG features and five linear filters, on the CPU only."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import dlib

from meanface.engine.face import Face
from meanface.engine.glance import Glance
from meanface.engine.hog_file import open_changed
from meanface.engine.search import Pixels, Search, brightness
from meanface.engine.settings import EngineSettings
from meanface.engine.tiles import tiled

_TILE = 1 << 24  # pixels after upsampling, whose features take 110 MB


def open_hog(settings: EngineSettings, models: Mapping[str, Path]) -> Search:
    """Open the detector. `models` has its exported files."""
    detector = dlib.fhog_object_detector(str(models["hog"]))
    glance = Glance(models["hog"]) if settings.middle_settles else None

    def faces_in(photo: Pixels, upsample: int) -> list[Face]:
        if settings.hog == "quick":
            photo = brightness(photo)
        if glance and not upsample and (faces := glance(photo)):
            return faces
        return _run(detector, photo, upsample)

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [faces_in(photo, upsample) for photo in photos]

    return tiled(search, _TILE) if settings.face == "all" else search


def open_small(models: Mapping[str, Path]) -> Callable[[int], Callable[[Pixels], list[Face]]]:
    """Give a function that opens the detector for small faces, for a number of levels.

    Cells of half the size see in a photo what dlib sees in the photo of twice the size: faces of 40
    pixels, and at each further level faces that are larger by a fifth. The photo has a quarter of
    the pixels, and their gradients cost most.
    """
    hog = models["hog"].read_bytes()

    @cache
    def of(levels: int) -> Callable[[Pixels], list[Face]]:
        detector = open_changed(hog, cell=4, levels=levels)

        def search(photos: Sequence[Pixels], _upsample: int) -> list[list[Face]]:
            return [_run(detector, photo, 0) for photo in photos]

        in_tiles = tiled(search, _TILE)
        return lambda photo: in_tiles([photo], 1)[0]  # as many cells as in a doubled photo

    return of


def _run(detector: dlib.fhog_object_detector, photo: Pixels, upsample: int) -> list[Face]:
    boxes, scores, _ = detector.run(photo, upsample, 0.0)
    return [
        Face(box.left(), box.top(), box.right(), box.bottom(), score)
        for box, score in zip(boxes, scores, strict=True)
    ]
