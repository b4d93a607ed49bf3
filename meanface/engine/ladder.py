"""Find the faces of a photo with a ladder of detectors.

For one face per photo, each detector is tried where those before it found none. For all faces, the
detectors complement each other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from meanface.engine.cnn import open_cnn
from meanface.engine.face import Face, distinct
from meanface.engine.hog import open_hog, open_small
from meanface.engine.search import (
    Pixels,
    Search,
    brightness,
    resized,
    scale_to,
    scaled,
    shrunk,
)
from meanface.engine.settings import EngineSettings

_OPEN = {"hog": open_hog, "cnn": open_cnn}

# The most pixels that a detector searches after upsampling, in multiples of detect_pixels. Behind
# HOG, which sees smaller faces, CNN looks for tilted ones, and takes ten times as long.
_MOST_FOR_ONE = {"hog@0": 1.0, "hog@1": 4.0, "cnn@0": 1.0, "cnn@1": 4.0}
_MOST_BEHIND_HOG = _MOST_FOR_ONE | {"cnn@0": 0.5, "cnn@1": 0.5}
# 16.75 megapixels are one tile of HOG.
_MOST_FOR_ALL = {"hog@0": 4.0, "hog@1": 16.75, "cnn@0": 1.0, "cnn@1": 1.0}

_SMALL = 5 / 16
"""Photos of this many times detect_pixels at most are doubled in full: they take little time."""

SMALLEST = 70
"""Boxes of detectors have sides of at least this, in pixels of what a detector searches."""

Found: TypeAlias = dict[Face, str]
"""The faces of a photo, and the name of the detector that found each."""


@dataclass(frozen=True)
class _Rung:
    """A detector, and the most pixels that it searches.

    `full`: it searches at least the pixels of the photo, even where these are more. `grey`: it
    searches the brightness only.
    """

    name: str
    kind: str
    search: Search
    upsample: int
    most: float
    full: bool
    grey: bool


class Ladder:
    """Detectors in the order in which they are tried."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open settings.detectors; `models` gives the exported files they need."""
        names = [(name, *name.split("@")) for name in settings.detectors]
        searches = {kind: _OPEN[kind](settings, models) for kind in {kind for _, kind, _ in names}}
        self._all = settings.face == "all"
        self._least = settings.min_face / SMALLEST if self._all else 0.0
        self._detect_pixels = settings.detect_pixels
        self._bound = settings.detect_pixels or math.inf
        has_hog = "hog" in searches
        self._small = open_small(models) if has_hog else None
        self._is_quick = settings.hog == "quick" and not self._all
        most = _MOST_BEHIND_HOG if has_hog else _MOST_FOR_ONE
        if self._all:
            most = _MOST_FOR_ALL
        # The finest HOG alone affords all pixels: CNN takes ten times as long.
        finest = max((name for name, kind, _ in names if kind == "hog"), default="")
        self._rungs = [
            _Rung(
                name,
                kind,
                searches[kind],
                int(upsample),
                self._bound * most[name],
                full=self._all and name == finest,
                grey=kind == "hog" and settings.hog == "quick",
            )
            for name, kind, upsample in names
        ]

    def __call__(self, photos: Sequence[Pixels], after: str | None = None) -> list[Found]:
        """Give the faces of each photo, in its coordinates, a detector's most certain face first.

        Photos are RGB uint8 (height, width, 3).

        * One face per photo: all faces are from the first detector that finds any, in the photo
          scaled down to detect_pixels. `after`: only the detectors behind this one are tried.
        * `face: all`: the faces of all detectors, in the order of the detectors. A face that
          several find counts once, as the first of them found it. None is left `after` any.
        """
        if self._all:
            return [{} for _ in photos] if after else self._complement(photos)
        found: list[Found] = [{} for _ in photos]
        remaining = {index: self._bounded(photo) for index, photo in enumerate(photos)}
        tried = [rung.name for rung in self._rungs].index(after) + 1 if after else 0
        for number in range(tried, len(self._rungs)):
            for index, faces in self._search(number, remaining).items():
                if faces:
                    del remaining[index]
                    found[index] = dict.fromkeys(faces, self._rungs[number].name)
        return found

    def _complement(self, photos: Sequence[Pixels]) -> list[Found]:
        found: list[Found] = [{} for _ in photos]
        whole = {index: (photo, 1.0) for index, photo in enumerate(photos)}
        # One channel is scaled in a third of the time that three take.
        grey = {index: (brightness(photo), 1.0) for index, photo in enumerate(photos)}
        for number, rung in enumerate(self._rungs):
            given = grey if rung.grey else whole
            for index, faces in self._search(number, given).items():
                if rung.full:
                    photo, _ = given[index]
                    least = max(0.5**rung.upsample, self._least)
                    faces += self._small_faces(photo, least, self._finest(rung, photo, 1.0))
                for face in distinct([*found[index], *faces]):
                    found[index].setdefault(face, rung.name)
        return found

    def _small_faces(self, photo: Pixels, finest: float, searched: float) -> list[Face]:
        """Give the faces that HOG sees in a photo scaled down by `finest`, and not by `searched`.

        Below 1, these factors scale up; `finest` is 0.5 or more.
        """
        levels = math.ceil(math.log(searched / finest, 6 / 5))
        if levels < 1 or self._small is None:
            return []
        # Cells of half the size stand for twice the size.
        photo, scale = shrunk(photo, 2 * finest)
        return [scaled(face, scale) for face in self._small(levels)(photo)]

    def _search(
        self, number: int, photos: Mapping[int, tuple[Pixels, float]]
    ) -> dict[int, list[Face]]:
        """Give the faces in photos that were scaled down by a factor, as boxes of the originals.

        Photos in which a detector before this one sees as much are left out, and with `face: all`
        those that are scaled down, in which a detector behind this one sees more.
        """
        rung = self._rungs[number]
        before = [one for one in self._rungs[:number] if one.kind == rung.kind]
        behind = [one for one in self._rungs[number + 1 :] if one.kind == rung.kind]
        found: dict[int, list[Face]] = {}
        due: dict[int, tuple[Pixels, float]] = {}
        doubled: dict[int, tuple[Pixels, float]] = {}
        for index, (photo, scale) in photos.items():
            finest = self._finest(rung, photo, scale)
            if any(self._finest(one, photo, scale) <= finest for one in before):
                continue
            # A photo that has to be scaled down for one HOG shows the finer one as many faces.
            if (
                self._all
                and finest > 1
                and any(self._finest(one, photo, scale) < finest for one in behind)
            ):
                continue
            is_large = photo.shape[0] * photo.shape[1] > _SMALL * self._bound
            if self._is_quick and rung.kind == "hog" and before and is_large:
                searched = min(self._finest(one, photo, scale) for one in before)
                small = self._small_faces(brightness(photo), finest, searched)
                found[index] = [scaled(face, scale) for face in small]
            elif rung.upsample and finest == 0.5:
                doubled[index] = photo, scale  # detectors double a photo as dlib does
            else:
                due[index] = resized(photo, finest), scale * finest
        for upsample, some in enumerate((due, doubled)):
            seen = rung.search([photo for photo, _ in some.values()], upsample)
            for (index, (_, scale)), faces in zip(some.items(), seen, strict=True):
                found[index] = [scaled(face, scale) for face in faces]
        return found

    def _finest(self, rung: _Rung, photo: Pixels, scale: float) -> float:
        """Give the factor by which a detector scales a photo down; below 1: up."""
        height, width = photo.shape[:2]
        bounded = math.sqrt(height * width / rung.most)
        if rung.full:
            bounded = min(1.0, bounded)
        if height * width <= _SMALL * self._bound:
            bounded = min(0.5**rung.upsample, bounded)
        return max(0.5**rung.upsample, bounded, self._least / scale)

    def _bounded(self, photo: Pixels) -> tuple[Pixels, float]:
        return shrunk(photo, scale_to(self._detect_pixels, *photo.shape[:2]))
