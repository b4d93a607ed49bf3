"""dlib's frontal face detector: HOG features and five linear filters, on the CPU only."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dlib

from meanface.engine.face import Face
from meanface.engine.glance import Glance
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
        boxes, scores, _ = detector.run(photo, upsample, 0.0)
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [faces_in(photo, upsample) for photo in photos]

    return tiled(search, _TILE) if settings.face == "all" else search
