"""The pipeline from the bytes of photos to embeddings: decode, detect, landmarks, chip, encoder."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meanface.engine.chips import Chip, open_cut
from meanface.engine.decode import PhotoError, decode_reduced
from meanface.engine.embed import Embed
from meanface.engine.face import Face, choose
from meanface.engine.ladder import Found, Ladder
from meanface.engine.outcome import EncodedFace, Failure, Outcome, none_counts
from meanface.engine.search import scaled
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo

log = logging.getLogger(__name__)

HELD = 16 << 20  # bytes of photos kept so that their landmarks are found together, which is quicker


ENOUGH = 0.7
"""With `decode: quick`, JPEGs are decoded to at least this many times detect_pixels."""

LEAST_SIDE = 200
"""Then the box of a face has at least so many pixels, or the JPEG is decoded at a larger size."""


@dataclass(frozen=True)
class _Decoded:
    """A photo, uint8 RGB (height, width, 3), scaled down by `scale`.

    `data` are the bytes from which it can be decoded in full, empty where it is.
    """

    path: str
    sha256: str
    pixels: NDArray[np.uint8]
    scale: int
    data: bytes


@dataclass(frozen=True)
class _Found:
    """The chosen faces of a photo, in pixels of the photo as it is, and their detectors."""

    photo: _Decoded
    faces: int
    chosen: Sequence[tuple[Face, str]]

    @property
    def path(self) -> str:
        """The photo's path."""
        return self.photo.path


@dataclass(frozen=True)
class _Cut:
    """The chosen faces that are upright or could be turned, their detectors and chips."""

    sha256: str
    faces: int
    chosen: Sequence[tuple[Face, str, Chip]]


class Engine:
    """Everything from the bytes of photos to embeddings."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open the exported models, given by name, that settings.models asks for."""
        self._settings = settings
        self._enough = (
            ENOUGH * settings.detect_pixels
            if settings.decode == "quick" and settings.face != "all" and settings.detect_pixels
            else math.inf
        )
        self._ladder = Ladder(settings, models)
        self._cut = open_cut(settings, models)
        self._embed = Embed(settings, models)

    def encode(self, photos: Iterable[Photo]) -> list[Outcome]:
        """Give for each photo its faces, or its failure.

        MemoryError is left to the caller. A photo is taken when the one before it was searched.
        """
        # As iterators: only so many photos are in memory at once as are worked on together.
        decoded = _in_turn(self._decode, ([photo] for photo in photos))
        found = _in_turn(self._find, ([photo] for photo in decoded))
        cut = list(_in_turn(self._cut_out, bunches(found, _held, HELD)))
        chips = [
            (chip.pixels, f"{one.sha256} {number}")
            for one in cut
            if isinstance(one, _Cut)
            for number, (_, _, chip) in enumerate(one.chosen)
        ]
        embeddings = iter(self._embed(chips))
        return [
            one
            if isinstance(one, Failure)
            else [
                EncodedFace(one.faces, face, detector, chip.angle, next(embeddings))
                for face, detector, chip in one.chosen
            ]
            for one in cut
        ]

    def _decode(self, photos: Sequence[Photo]) -> list[_Decoded | Failure]:
        return [self._decode_one(photo) for photo in photos]

    def _decode_one(self, photo: Photo) -> _Decoded | Failure:
        try:
            return self._decoded(photo, self._enough)
        except PhotoError as error:
            return Failure(error.reason, error.detail)

    def _decoded(self, photo: Photo | _Decoded, enough: float) -> _Decoded:
        settings = self._settings
        pixels, scale = decode_reduced(photo.data, settings.decode, settings.max_pixels, enough)
        data = photo.data if scale > 1 else b""
        return _Decoded(photo.path, photo.sha256, pixels, scale, data)

    def _find(self, photos: Sequence[_Decoded | Failure]) -> list[_Found | Failure]:
        decoded = [one for one in photos if isinstance(one, _Decoded)]
        searched = iter(self._ladder([one.pixels for one in decoded]))
        return [
            one if isinstance(one, Failure) else self._choose(one, next(searched)) for one in photos
        ]

    def _choose(self, photo: _Decoded, found: Found) -> _Found | Failure:
        settings = self._settings
        faces = {scaled(face, photo.scale): detector for face, detector in found.items()}
        large = [face for face in faces if min(face.width, face.height) >= settings.min_face]
        strong = [face for face in large if face.score >= settings.min_score]
        if not strong:
            return none_counts(settings, found=bool(faces), large=bool(large))
        height, width = (side * photo.scale for side in photo.pixels.shape[:2])
        chosen = [(face, faces[face]) for face in choose(strong, settings.face, height, width)]
        least = min(min(face.width, face.height) for face, _ in chosen)
        if photo.scale > 1 and least < LEAST_SIDE * photo.scale:
            enough = height * width * (LEAST_SIDE / least) ** 2
            return _Found(self._decoded(photo, enough), len(faces), chosen)
        return _Found(photo, len(faces), chosen)

    def _cut_out(self, photos: Sequence[_Found | Failure]) -> list[_Cut | Failure]:
        found = [one for one in photos if isinstance(one, _Found)]
        faces = [
            (one.photo.pixels, scaled(face, 1 / one.photo.scale), detector)
            for one in found
            for face, detector in one.chosen
        ]
        chips = iter(self._cut(faces))
        return [
            one
            if isinstance(one, Failure)
            else self._upright(one, [next(chips) for _ in one.chosen])
            for one in photos
        ]

    def _upright(self, found: _Found, chips: Sequence[Chip | None]) -> _Cut | Failure:
        upright = [
            (*face, chip)
            for face, chip in zip(found.chosen, chips, strict=True)
            if chip is not None
        ]
        if upright:
            return _Cut(found.photo.sha256, found.faces, upright)
        # It may be no face: where there is one, another detector may find it.
        detectors = dict.fromkeys(detector for _, detector in found.chosen)
        [faces] = self._ladder([found.photo.pixels], after=[*detectors][-1])
        other = self._choose(found.photo, faces)
        if isinstance(other, Failure):
            detail = f"found by {', '.join(detectors)}, but its angle is unknown"
            return Failure("tilted_face", detail)
        return self._cut_out([other])[0]


_Item = TypeVar("_Item", Photo, _Decoded | Failure, _Found | Failure)
_Result = TypeVar("_Result")


def _in_turn(
    work: Callable[[Sequence[_Item]], list[_Result]], groups: Iterable[Sequence[_Item]]
) -> Iterator[_Result | Failure]:
    """Do the work on one group after the other, and keep hold of none."""
    for group in groups:
        results = _one_by_one(work, group)
        del group
        yield from results
        del results


def _one_by_one(
    work: Callable[[Sequence[_Item]], list[_Result]], items: Sequence[_Item]
) -> list[_Result | Failure]:
    """Do the work on all items together or, where that fails, on each: one photo alone fails."""
    try:
        return [*work(items)]
    except MemoryError:
        raise
    except Exception as error:  # a photo that breaks a library must not take others along
        if len(items) > 1:
            return [one for item in items for one in _one_by_one(work, [item])]
        log.exception("photo %r", getattr(items[0], "path", ""))
        return [Failure("error", f"{type(error).__name__}: {error}")]


def _held(photo: _Decoded | _Found | Failure) -> int:
    if isinstance(photo, Failure):
        return 0
    decoded = photo.photo if isinstance(photo, _Found) else photo
    return decoded.pixels.nbytes + len(decoded.data)


_Any = TypeVar("_Any")


def bunches(photos: Iterable[_Any], size: Callable[[_Any], int], most: int) -> Iterator[list[_Any]]:
    """Photos in lists, each ended by the photo with which it holds more than `most` bytes.

    `size` gives the bytes that a photo keeps in memory.
    """
    bunch: list[_Any] = []
    held = 0
    for photo in photos:
        bunch.append(photo)
        held += size(photo)
        if held > most:
            yield bunch
            bunch, held = [], 0
    yield bunch
