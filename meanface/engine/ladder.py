"""Find the faces of a photo: a ladder of detectors, each tried where those before it found none."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from meanface.engine.cnn import open_cnn
from meanface.engine.face import Face
from meanface.engine.hog import open_hog
from meanface.engine.search import LONGEST, Pixels, scaled, shrunk
from meanface.engine.settings import EngineSettings

_OPEN = {"hog": open_hog, "cnn": open_cnn}


class Ladder:
    """Detectors in the order in which they are tried, on photos scaled down to a bounded size."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open settings.detectors; `models` gives the exported files they need."""
        rungs = [(name, *name.split("@")) for name in settings.detectors]
        kinds = {kind for _, kind, _ in rungs}
        searches = {kind: _OPEN[kind](settings, models) for kind in kinds}
        self._names = settings.detectors
        self._rungs = [(name, searches[kind], int(upsample)) for name, kind, upsample in rungs]
        self._most = settings.detect_pixels

    def __call__(
        self, photos: Sequence[Pixels], after: str | None = None
    ) -> list[tuple[str, list[Face]]]:
        """Give for each photo the first detector that finds a face and its faces, best first.

        `after`: only the detectors behind this one are tried.
        Photos are RGB uint8 (height, width, 3), boxes in their coordinates. Where no detector
        finds a face, its name is "" and the list empty.
        """
        found: list[tuple[str, list[Face]]] = [("", [])] * len(photos)
        bounded = {index: self._bounded(photo) for index, photo in enumerate(photos)}
        first = 1 + self._names.index(after) if after else 0
        for name, search, upsample in self._rungs[first:]:
            for index, faces in zip(
                list(bounded),
                search([small for small, _ in bounded.values()], upsample),
                strict=True,
            ):
                if faces:
                    _, scale = bounded.pop(index)
                    found[index] = name, [scaled(face, scale) for face in faces]
        return found

    def _bounded(self, photo: Pixels) -> tuple[Pixels, float]:
        if not self._most:
            return photo, 1.0
        height, width = photo.shape[:2]
        scale = max(math.sqrt(height * width / self._most), max(height, width) / LONGEST)
        return shrunk(photo, scale)
