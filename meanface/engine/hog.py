"""dlib's frontal face detector: HOG features and five linear filters, on the CPU only."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

from meanface.engine.face import Face
from meanface.engine.search import Pixels, Search
from meanface.engine.settings import EngineSettings
from meanface.engine.tiles import tiled

_TILE = 1 << 24  # pixels after upsampling, whose features take 110 MB


def open_hog(settings: EngineSettings, models: Mapping[str, Path]) -> Search:
    """Open the detector. `models` has its exported files."""
    names = ["front", "hog"] if settings.middle_settles else ["hog"]
    detectors = [dlib.fhog_object_detector(str(models[name])) for name in names]

    def faces_in(photo: Pixels, upsample: int) -> list[Face]:
        if settings.hog == "quick":
            photo = np.asarray(Image.fromarray(photo).convert("L"))
        height, width = photo.shape[:2]
        for detector in detectors:
            boxes, scores, _ = detector.run(photo, upsample, 0.0)
            if any(box.contains(width // 2, height // 2) for box in boxes):
                break
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [faces_in(photo, upsample) for photo in photos]

    return tiled(search, _TILE) if settings.face == "all" else search
