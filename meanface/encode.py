"""The encode stage: a shard of photos in, embeddings and the tables of faces and failures out."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import dlib
import face_recognition_models
import numpy as np
from numpy.typing import NDArray

from meanface.accounts import check_accounts
from meanface.detect import Ladder
from meanface.encoder import DIMENSIONS, open_encoder
from meanface.engine import EngineSettings
from meanface.face import Face, choose
from meanface.files import save_array
from meanface.landmarks import Landmarks
from meanface.photo import PhotoError, decode
from meanface.shards import Photo, read_manifest, read_shard
from meanface.tables import FACES, FAILURES, identity_of, write_table

log = logging.getLogger(__name__)

# What dlib's encoder was trained on: a chip of 150x150 pixels, a quarter of the face around it.
CHIP_SIZE = 150
CHIP_PADDING = 0.25


@dataclass(frozen=True)
class EncodedFace:
    """One face of a photo: where it is, what found it, its embedding float32 (128,)."""

    path: str
    faces: int
    face: Face
    detector: str
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Failure:
    """A photo without an embedding, and why."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class _Found:
    """The chosen faces of a photo and their chips, uint8 RGB (150, 150, 3)."""

    faces: int
    detector: str
    chosen: Sequence[Face]
    chips: Sequence[NDArray[np.uint8]]


class Engine:
    """Everything from the bytes of photos to embeddings; safe to share between threads."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open the exported models, given by name, that settings.models asks for.

        Raises UserError where settings.device is "cuda" and there is no usable GPU.
        """
        self._settings = settings
        self._ladder = Ladder(settings, models)
        self._landmarks = _open_landmarks(settings, models)
        self._encoder = open_encoder(settings, models)

    def encode(self, photos: Sequence[Photo]) -> list[list[EncodedFace] | Failure]:
        """Give for each photo its faces, or its failure."""
        # One photo at a time bounds a worker's memory; a GPU wants them together.
        groups = [photos] if self._settings.device == "cuda" else [[photo] for photo in photos]
        found = [one for group in groups for one in self._find(group)]
        chips = [chip for one in found if isinstance(one, _Found) for chip in one.chips]
        embeddings = iter(self._embed(chips))
        return [
            one
            if isinstance(one, Failure)
            else [
                EncodedFace(photo.path, one.faces, face, one.detector, next(embeddings))
                for face in one.chosen
            ]
            for photo, one in zip(photos, found, strict=True)
        ]

    def _find(self, photos: Sequence[Photo]) -> Sequence[_Found | Failure]:
        try:
            return self._find_together(photos)
        except Exception as error:  # a photo that breaks a library must not take others along
            if len(photos) > 1:
                return [one for photo in photos for one in self._find([photo])]
            log.exception("photo %r", photos[0].path)
            return [Failure(photos[0].path, "error", f"{type(error).__name__}: {error}")]

    def _find_together(self, photos: Sequence[Photo]) -> Sequence[_Found | Failure]:
        decoded = [self._decode(photo) for photo in photos]
        searched = iter(self._ladder([one for one in decoded if not isinstance(one, Failure)]))
        return [
            one if isinstance(one, Failure) else self._cut_out(photo, one, *next(searched))
            for photo, one in zip(photos, decoded, strict=True)
        ]

    def _decode(self, photo: Photo) -> NDArray[np.uint8] | Failure:
        if photo.data is None:
            detail = f"{photo.size} bytes, more than max_bytes allows"
            return Failure(photo.path, "too_large", detail)
        try:
            return decode(photo.data, self._settings.decode, self._settings.max_pixels)
        except PhotoError as error:
            return Failure(photo.path, error.reason, error.detail)

    def _cut_out(
        self, photo: Photo, pixels: NDArray[np.uint8], detector: str, faces: Sequence[Face]
    ) -> _Found | Failure:
        settings = self._settings
        if not faces:
            detail = f"none found by {', '.join(settings.detectors)}"
            return Failure(photo.path, "no_face", detail)
        large = [face for face in faces if min(face.width, face.height) >= settings.min_face]
        if not large:
            detail = f"every face is smaller than min_face, {settings.min_face} pixels"
            return Failure(photo.path, "small_face", detail)
        strong = [face for face in large if face.score >= settings.min_score]
        if not strong:
            detail = f"every score is lower than min_score, {settings.min_score}"
            return Failure(photo.path, "weak_face", detail)
        height, width = pixels.shape[:2]
        chosen = choose(strong, settings.face, height, width)
        chips = [
            dlib.get_face_chip(pixels, self._landmarks(pixels, face), CHIP_SIZE, CHIP_PADDING)
            for face in chosen
        ]
        return _Found(len(faces), detector, chosen, chips)

    def _embed(self, chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not chips:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        batch = np.stack(chips)
        embeddings = self._encoder(batch)
        if not self._settings.flip:
            return embeddings
        mirrored = self._encoder(np.ascontiguousarray(batch[:, :, ::-1]))
        return (embeddings + mirrored) / np.float32(2)


def _open_landmarks(
    settings: EngineSettings, models: Mapping[str, Path]
) -> Callable[[NDArray[np.uint8], Face], dlib.full_object_detection]:
    if settings.landmarks == 68:
        return Landmarks(models["landmarks"])
    predictor = dlib.shape_predictor(
        face_recognition_models.pose_predictor_five_point_model_location()
    )
    return lambda pixels, face: predictor(
        pixels, dlib.rectangle(face.left, face.top, face.right, face.bottom)
    )


def encode_shard(
    engine: Engine,
    shard: str,
    tar: Path,
    manifest: Path,
    *,
    batch: int,
    threads: int,
    embeddings: Path,
    faces: Path,
    failures: Path,
) -> dict[str, int]:
    """Encode the photos of one shard, `batch` at a time, and write its three results.

    `embeddings` gets float32 (n, 128), whose row i belongs to row i of the table `faces`; every
    other photo is a row of the table `failures`. Gives the counts photos, encoded, failed, faces.
    With `threads` > 1 that many batches are under way at once: some are decoded and cut into
    chips on the CPU while others are on the device.

    Raises AccountingError where the shard is damaged or photos and results do not add up.
    """
    rows: list[EncodedFace] = []
    failed: list[Failure] = []
    batches = _batches(read_shard(tar, manifest), batch)
    for results in _in_order(engine.encode, batches, threads):
        for result in results:
            if isinstance(result, Failure):
                failed.append(result)
            else:
                rows.extend(result)
    photos = [entry.path for entry in read_manifest(manifest)]
    check_accounts(f"shard {shard}", photos, (r.path for r in rows), (f.path for f in failed))
    save_array(embeddings, _stacked(rows))
    write_table(faces, FACES, (_face_row(row, shard) for row in rows))
    write_table(failures, FAILURES, ((one.path, one.reason, one.detail, shard) for one in failed))
    return {
        "photos": len(photos),
        "encoded": len(photos) - len(failed),
        "failed": len(failed),
        "faces": len(rows),
    }


def _batches(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    remaining = iter(photos)
    while batch := list(islice(remaining, size)):
        yield batch


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _in_order(
    work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int
) -> Iterator[_Result]:
    """Map with `threads` threads, reading at most two items per thread ahead."""
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[_Result]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _stacked(rows: Sequence[EncodedFace]) -> NDArray[np.float32]:
    embeddings = np.empty((len(rows), DIMENSIONS), dtype=np.float32)
    for index, row in enumerate(rows):
        embeddings[index] = row.embedding
    return embeddings


def _face_row(row: EncodedFace, shard: str) -> tuple[object, ...]:
    face = row.face
    box = (face.left, face.top, face.right, face.bottom)
    score = round(face.score, 6)
    return (row.path, identity_of(row.path), row.faces, *box, score, row.detector, shard)
