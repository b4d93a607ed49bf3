"""The pipeline on a GPU: bytes of photos go in, boxes, angles and embeddings come out."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from meanface.engine.chips import PADDING, SIZE
from meanface.engine.face import Face
from meanface.engine.gpu.decode import Decoder, Plain, plain_jpeg
from meanface.engine.gpu.detect import Boxes, Detector
from meanface.engine.gpu.landmarks import Landmarks, aligned
from meanface.engine.gpu.network import Network
from meanface.engine.gpu.pixels import Pixels, Places, cut_out, halved, sampled
from meanface.engine.gpu_check import no_gpu
from meanface.engine.outcome import EncodedFace, Outcome, none_counts
from meanface.engine.search import scale_to
from meanface.engine.settings import EngineSettings
from meanface.engine.upright import BETTER, SEEN, SIDES, SIZES, TURNS, UPRIGHT, WINDOW
from meanface.shards.manifest import Photo

log = logging.getLogger(__name__)

Some: TypeAlias = list[Outcome | None]
"""Outcomes of photos; None for a photo that is left to the processor."""

_CHIPS = 256  # in a batch of the encoder, which is filled up: results depend on the batch's size
_TURNED = 4096  # windows that are cut out of photos together
_DECODED = 256 << 20  # pixels of photos that are worked on together
# Degrees: a face is surely upright whose landmarks are turned by less, and whose turns at which the
# detector sees it have their middle within less.
_CLOSE, _MIDDLE = 20.0, 30.0
_SURE = 0.02  # scores this far from a limit are on the same side with float16 and float32
_DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class _Faces:
    """The chosen face of each of m photos: boxes int64 (m, 4), scores, detectors (m,)."""

    photos: NDArray[np.int64]
    boxes: NDArray[np.int64]
    scores: NDArray[np.float32]
    detectors: NDArray[np.int64]


class GpuEngine:
    """Everything from the bytes of photos to embeddings, on one GPU and in one process."""

    def __init__(
        self, settings: EngineSettings, models: Mapping[str, Path], device: str = "cuda"
    ) -> None:
        """Open the exported models. With `device` "cpu", which tests use, no photo is decoded."""
        self._settings = settings
        self._device = torch.device(device)
        torch.backends.cuda.matmul.allow_tf32 = False  # TF32 rounds products to 10 bits
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = (
            False  # a search of the fastest way may end otherwise in each run
        )
        dtype = _DTYPES[settings.precision]
        self._detector = Detector(models["cnn"], self._device, dtype)
        self._encoder = Network(models["encoder"], self._device, dtype)
        self._five = Landmarks(models["landmarks5"], self._device)
        self._rungs = [(name, int(name.partition("@")[2])) for name in settings.detectors]
        self._decoder = Decoder(self._device) if device == "cuda" else None
        self.stage: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        """Gives what a stage, which it gets the name of, runs in: benchmarks measure there."""

    def encode(self, batches: Iterable[Sequence[Photo]]) -> Iterator[Some]:
        """Yield the outcomes of each batch. The next photos are decoded while some are searched."""
        ahead: Queue[tuple[list[Tensor | None], bool] | BaseException | None] = Queue(1)

        def decode() -> None:
            try:
                with torch.inference_mode(), self._stream():
                    for batch in batches:
                        some = list(parts(batch, self._settings.max_pixels))
                        for number, part in enumerate(some, start=1):
                            ahead.put((self.decode(part), number == len(some)))
                ahead.put(None)
            except BaseException as error:
                ahead.put(error)

        Thread(target=decode, daemon=True).start()
        outcomes: Some = []
        while (part := ahead.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            photos, is_last = part
            outcomes += self.outcomes(photos)
            if is_last:
                yield outcomes
                outcomes = []

    def _stream(self) -> "torch.cuda.StreamContext":
        stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        return torch.cuda.stream(stream)

    def decode(self, photos: Sequence[Plain | None]) -> list[Tensor | None]:
        """Decode photos; None for one that is left to the processor."""
        if self._decoder is None:
            return [None] * len(photos)
        decoded = iter(self._decoder([photo for photo in photos if photo is not None]))
        pixels = [None if photo is None else next(decoded) for photo in photos]
        torch.cuda.current_stream(self._device).synchronize()
        return pixels

    def outcomes(self, photos: Sequence[Tensor | None]) -> Some:
        """Give the outcomes of decoded photos, uint8 (height, width, 3) on the device.

        None, for a photo or an outcome, is what is left to the processor.
        """
        with torch.inference_mode():
            return self._outcomes(photos)

    def _outcomes(self, photos: Sequence[Tensor | None]) -> Some:
        known = [index for index, photo in enumerate(photos) if photo is not None]
        results: Some = [None] * len(photos)
        some = self._encode_or_halve([photo for photo in photos if photo is not None])
        for index, outcome in zip(known, some, strict=True):
            results[index] = outcome
        return results

    def _encode_or_halve(self, photos: list[Tensor]) -> Some:
        """Encode photos, fewer at a time where memory runs out; one alone is left over."""
        if not photos:
            return []
        try:
            return self._encode(photos)
        except torch.OutOfMemoryError:
            log.warning("the GPU's memory, see gpu_mb, is too little for %d photos", len(photos))
        torch.cuda.empty_cache()
        if len(photos) == 1:
            return [None]
        half = len(photos) // 2
        return self._encode_or_halve(photos[:half]) + self._encode_or_halve(photos[half:])

    def _encode(self, photos: list[Tensor]) -> Some:
        with self.stage("detect"):
            found, counts, detectors = self._search(photos)
        results: Some = [None] * len(photos)
        faces = self._choose(photos, found, counts, detectors, results)
        if not len(faces.photos):
            return results
        pixels = Pixels.of(photos)
        which = torch.from_numpy(faces.photos).to(self._device)
        boxes = torch.from_numpy(faces.boxes).to(self._device)
        with self.stage("landmarks"):
            places = aligned(which, self._five(pixels, which, boxes), SIZE, PADDING)
        with self.stage("upright"):
            upright = self._is_upright(pixels, which, boxes, places.angles)
        with self.stage("chips"):
            # float16 rounds embeddings by more than a pixel's last bit moves them.
            exact = self._settings.precision == "float32"
            chips = cut_out(pixels, places.places, SIZE, exact=exact)
        with self.stage("encode"):
            encoded = self._embed(chips)
            # A number too large for float16 is left to the processor, with its photo.
            upright = upright & encoded.isfinite().all(dim=1)
            embeddings = encoded.cpu().numpy()
        angles, upright = places.angles.cpu().numpy(), upright.cpu().numpy()
        for number, photo in enumerate(faces.photos.tolist()):
            if upright[number]:
                left, top, right, bottom = faces.boxes[number].tolist()
                face = Face(left, top, right, bottom, float(faces.scores[number]))
                detector = self._settings.detectors[faces.detectors[number]]
                angle = float(angles[number])
                results[photo] = [
                    EncodedFace(int(counts[photo]), face, detector, angle, embeddings[number])
                ]
        return results

    def _search(
        self, photos: Sequence[Tensor]
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.float32]], NDArray[np.int64], NDArray[np.int64]]:
        """Give boxes (n, m, 4) and scores (n, m), the number of faces and the detector (n,)."""
        bounded, scales = zip(*(self._bounded(photo) for photo in photos), strict=True)
        boxes = np.zeros((len(photos), 0, 4), np.int64)
        scores = np.zeros((len(photos), 0), np.float32)
        detectors = np.zeros(len(photos), np.int64)
        left = np.arange(len(photos))
        for number, (_, upsample) in enumerate(self._rungs):
            if not len(left):
                break
            found: Boxes = self._detector([bounded[index] for index in left.tolist()], upsample)
            theirs, certain = found.boxes.cpu().numpy(), found.scores.cpu().numpy()
            more = max(0, certain.shape[1] - scores.shape[1])
            boxes = np.pad(boxes, [(0, 0), (0, more), (0, 0)])
            scores = np.pad(scores, [(0, 0), (0, more)])
            boxes[left, : theirs.shape[1]] = theirs
            scores[left, : certain.shape[1]] = certain
            detectors[left] = number
            left = left[~(certain > 0).any(axis=1)]
        scale = np.array(scales)[:, None, None]
        scaled = np.concatenate(
            [np.round(boxes[..., :2] * scale), np.round((boxes[..., 2:] + 1) * scale) - 1], axis=2
        )
        boxes = np.where(scale == 1, boxes, scaled.astype(np.int64))
        return (boxes, scores), (scores > 0).sum(axis=1), detectors

    def _bounded(self, photo: Tensor) -> tuple[Tensor, float]:
        height, width = photo.shape[:2]
        scale = scale_to(self._settings.detect_pixels, height, width)
        if scale <= 1:
            return photo, 1.0
        size = max(1, int(height / scale)), max(1, int(width / scale))
        return _shrunk(photo, size), scale

    def _choose(
        self,
        photos: Sequence[Tensor],
        found: tuple[NDArray[np.int64], NDArray[np.float32]],
        counts: NDArray[np.int64],
        detectors: NDArray[np.int64],
        results: Some,
    ) -> _Faces:
        """Choose faces as `face.choose` does, and fill in the failures among `results`."""
        settings = self._settings
        boxes, scores = found
        sides = boxes[..., 2:] - boxes[..., :2] + 1
        large = (scores > 0) & (sides.min(axis=2) >= settings.min_face)
        strong = large & (scores >= settings.min_score)
        for index in np.flatnonzero(~strong.any(axis=1)).tolist():
            any_found, any_large = bool(counts[index]), bool(large[index].any())
            results[index] = none_counts(settings, found=any_found, large=any_large)
        which = np.flatnonzero(strong.any(axis=1))
        if not len(which):
            return _Faces(which, boxes[which, which], scores[which, which], detectors[which])
        size = np.array([photo.shape[1::-1] for photo in photos])[:, None]
        worth = {
            "first": np.broadcast_to(-np.arange(scores.shape[1]), scores.shape),
            "largest": sides.prod(axis=2),
            "central": -((boxes[..., :2] + boxes[..., 2:] + 1 - size) ** 2).sum(axis=2),
        }[settings.face]
        number = np.where(strong, worth, np.iinfo(np.int64).min)[which].argmax(axis=1)
        return _Faces(which, boxes[which, number], scores[which, number], detectors[which])

    def _is_upright(self, pixels: Pixels, photos: Tensor, boxes: Tensor, angles: Tensor) -> Tensor:
        """Tell of which faces it is sure that `upright.Upright` takes them for upright, (m,)."""
        if not self._settings.upright:
            return torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        corners = boxes.double()
        # Sides as those of upright.Square, which are one pixel more than dlib's.
        middle = (corners[:, :2] + corners[:, 2:]) / 2
        half = (corners[:, 2:] - corners[:, :2] + 1).mean(dim=1)[:, None] / 2
        reach = half * WINDOW.around
        squares = torch.cat([middle - reach, middle + reach], dim=1)
        windows = Places(photos, squares, angles.new_zeros(len(angles)))
        # Every turn of a square is inside of 1.5 times the square.
        pixels, windows = halved(pixels, windows, WINDOW.pixels, reach=1.5)
        best = self._best(pixels, windows, SIDES.tolist())
        better = best[0] - best[1:].amax(dim=0)
        seen = (best[0] > SEEN + _SURE) & (better >= BETTER + _SURE)
        upright = seen & (angles.abs() <= UPRIGHT)
        unsure = torch.nonzero(~upright & (angles.abs() <= _CLOSE))[:, 0]
        if len(unsure):
            # As upright._closer begins: the middle of the turns at which the face is seen.
            others = sorted({*TURNS.tolist()} - {*SIDES.tolist()})
            more = self._best(pixels, windows.take(unsure), others)
            weights = torch.cat([best[:, unsure], more]).clamp(min=0)
            turns = torch.deg2rad(weights.new_tensor([*SIDES.tolist(), *others]))[:, None]
            x, y = (weights * turns.cos()).sum(dim=0), (weights * turns.sin()).sum(dim=0)
            middle = torch.rad2deg(torch.atan2(y, x))
            seen = weights.amax(dim=0) > SEEN + _SURE
            upright[unsure] = seen & (middle.abs() <= _MIDDLE)
        return upright

    def _best(self, pixels: Pixels, windows: Places, turns: Sequence[int]) -> Tensor:
        """Give the detector's best scores of windows turned by so many degrees, (turns, m)."""
        count = max(1, _TURNED // (len(turns) * len(SIZES)))
        parts = []
        for start in range(0, len(windows.photos), count):
            some = windows.part(start, start + count)
            cuts = {
                (turn, size): sampled(
                    pixels, some.turned(-math.radians(turn), size), WINDOW.pixels, exact=False
                )
                for turn in {turn % 90 for turn in turns}
                for size in SIZES
            }
            # A quarter of a turn moves pixels, and interpolates between none.
            turned = [
                cuts[turn % 90, size].rot90(-(turn // 90), (1, 2))
                for turn in turns
                for size in SIZES
            ]
            scores = self._detector.scores_of(torch.cat(turned))
            parts.append(scores.reshape(len(turns), len(SIZES), -1).amax(dim=1))
        return torch.cat(parts, dim=1)

    def _embed(self, chips: Tensor) -> Tensor:
        """Give the embeddings, float32 (n, 128), of chips."""
        crops = [chips, chips.flip(2)] if self._settings.flip else [chips]
        of_each = [self._encoded(crop).double() for crop in crops]
        return torch.stack(of_each).mean(dim=0).float()

    def _encoded(self, chips: Tensor) -> Tensor:
        parts = []
        for some in chips.split(_CHIPS):
            filled = some
            if self._device.type == "cuda" and len(some) < _CHIPS:
                filled = torch.cat([some, some.new_zeros((_CHIPS - len(some), *some.shape[1:]))])
            parts.append(self._encoder(filled)[: len(some)].float())
        return torch.cat(parts)


def parts(photos: Sequence[Photo], max_pixels: int) -> Iterator[list[Plain | None]]:
    """Divide photos into parts that are decoded together."""
    part: list[Plain | None] = []
    pixels = 0
    for photo in photos:
        plain = plain_jpeg(photo.data, max_pixels)
        size = plain.height * plain.width if plain else 0
        if part and pixels + size > _DECODED:
            yield part
            part, pixels = [], 0
        part.append(plain)
        pixels += size
    yield part


def _shrunk(photo: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a photo down as Pillow does, which rounds after the rows and after the columns."""
    # Plane by plane: PyTorch would copy the pixels once more for that.
    planes = photo.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    for shape in ((photo.shape[0], size[1]), size):
        planes = F.interpolate(planes, shape, mode="bilinear", antialias=True).add_(0.5).floor_()
    return planes[0].permute(1, 2, 0).to(torch.uint8, memory_format=torch.contiguous_format)


def limit_memory(megabytes: int) -> None:
    """Take at most so many MB of the GPU's memory. Raises UserError where there is no GPU."""
    if not torch.cuda.is_available():
        raise no_gpu("PyTorch finds none")
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * 1e6 / whole))
