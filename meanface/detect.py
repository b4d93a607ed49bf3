"""Find the faces of a photo: a ladder of detectors, each tried where those before it found none."""

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meanface.cnn import CnnDetector, CudaCnnDetector
from meanface.encoder import open_session
from meanface.engine import EngineSettings
from meanface.face import Face

Pixels = NDArray[np.uint8]

# Takes photos, RGB uint8 (height, width, 3), and how often to double their size before the search;
# gives the faces found in each, most certain first.
Search = Callable[[Sequence[Pixels], int], list[list[Face]]]

_CNN = {"cpu": (CnnDetector, "cnn"), "cuda": (CudaCnnDetector, "cnn_cuda")}

# Pixels that the CNN detector takes at once, and those of a strip of their pyramids: photo by photo
# and strip by strip is best for a CPU and its caches, a GPU wants more to do.
_AT_ONCE = {"cpu": 1, "cuda": 1 << 22}
_STRIP = {"cpu": 1 << 19, "cuda": 1 << 24}

# The longest side before upsampling. Where dlib resizes, it adds up positions in float32, and
# writes outside of its memory for sides well beyond twice of this.
_LONGEST = 4096


class Ladder:
    """Detectors in the order in which they are tried, on photos scaled down to a bounded size."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open settings.detectors; `models` gives the exported files they need."""
        rungs = [(name, *name.split("@")) for name in settings.detectors]
        kinds = {kind for _, kind, _ in rungs}
        searches = {kind: _SEARCHES[kind](settings, models) for kind in kinds}
        self._rungs = [(name, searches[kind], int(upsample)) for name, kind, upsample in rungs]
        self._most = settings.detect_pixels

    def __call__(self, photos: Sequence[Pixels]) -> list[tuple[str, list[Face]]]:
        """Give for each photo the first detector that finds a face and its faces, best first.

        Photos are RGB uint8 (height, width, 3), boxes in their coordinates. Where no detector
        finds a face, its name is "" and the list empty.
        """
        found: list[tuple[str, list[Face]]] = [("", [])] * len(photos)
        bounded = {index: self._bounded(photo) for index, photo in enumerate(photos)}
        for name, search, upsample in self._rungs:
            for index, faces in zip(
                list(bounded),
                search([small for small, _ in bounded.values()], upsample),
                strict=True,
            ):
                if faces:
                    _, scale = bounded.pop(index)
                    found[index] = name, [_scaled(face, scale) for face in faces]
        return found

    def _bounded(self, photo: Pixels) -> tuple[Pixels, float]:
        if not self._most:
            return photo, 1.0
        height, width = photo.shape[:2]
        scale = max(math.sqrt(height * width / self._most), max(height, width) / _LONGEST)
        return _shrunk(photo, scale)


def _hog(settings: EngineSettings, models: Mapping[str, Path]) -> Search:
    """dlib's frontal face detector (HOG features, five linear filters); it knows only the CPU."""
    names = ["front", "hog"] if settings.middle_settles else ["hog"]

    def opened() -> list[Any]:
        return [dlib.fhog_object_detector(str(models[name])) for name in names]

    own = threading.local()  # a detector keeps state while it searches: each thread has its own
    own.detectors = opened()

    def faces_in(photo: Pixels, upsample: int) -> list[Face]:
        if not hasattr(own, "detectors"):
            own.detectors = opened()
        if settings.hog == "quick":
            photo = np.asarray(Image.fromarray(photo).convert("L"))
        height, width = photo.shape[:2]
        for detector in own.detectors:
            boxes, scores, _ = detector.run(photo, upsample, 0.0)
            if any(box.contains(width // 2, height // 2) for box in boxes):
                break
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    return lambda photos, upsample: [faces_in(photo, upsample) for photo in photos]


def _cnn(settings: EngineSettings, models: Mapping[str, Path]) -> Search:
    """dlib's CNN detector, on photos of one size together."""
    kind, model = _CNN[settings.device]
    detector = kind(open_session(models[model], settings.device), _STRIP[settings.device])

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        found: list[list[Face]] = [[]] * len(photos)
        shrunk = [_shrunk(photo, max(photo.shape) / _LONGEST) for photo in photos]
        of_size = defaultdict(list)
        for index, (photo, _) in enumerate(shrunk):
            of_size[photo.shape].append(index)
        for (height, width, _), indices in of_size.items():
            count = max(1, _AT_ONCE[settings.device] // (height * width * 4**upsample))
            for start in range(0, len(indices), count):
                batch = indices[start : start + count]
                results = detector.batch(np.stack([shrunk[index][0] for index in batch]), upsample)
                for index, faces in zip(batch, results, strict=True):
                    found[index] = [_scaled(face, shrunk[index][1]) for face in faces]
        return found

    return search


_SEARCHES = {"hog": _hog, "cnn": _cnn}


def _shrunk(photo: Pixels, scale: float) -> tuple[Pixels, float]:
    """Scale down by `scale`, if that is more than 1; the second value scales boxes back up."""
    if scale <= 1:
        return photo, 1.0
    height, width = photo.shape[:2]
    size = max(1, int(width / scale)), max(1, int(height / scale))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR)), scale


def _scaled(face: Face, scale: float) -> Face:
    if scale == 1:
        return face
    return replace(
        face,
        left=round(face.left * scale),
        top=round(face.top * scale),
        right=round((face.right + 1) * scale) - 1,
        bottom=round((face.bottom + 1) * scale) - 1,
    )
