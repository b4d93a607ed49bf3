"""`encoder: stub`: an engine that decodes no photo, to measure the workflow around the engine."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.outcome import DIMENSIONS, EncodedFace, Outcome
from meanface.shards.manifest import Photo

_FACE = Face(0, 0, 7, 7, 1.0)


class StubEngine:
    """Replaces engine.Engine: gives one face for every photo, without looking at the photo."""

    def encode(self, photos: Iterable[Photo]) -> list[Outcome]:
        """Give for each photo a face of 8x8 pixels in the corner, with its stub_embedding."""
        return [
            [EncodedFace(1, _FACE, "stub", 0.0, stub_embedding(photo.sha256))] for photo in photos
        ]


def stub_embedding(sha256: str) -> NDArray[np.float32]:
    """Give an embedding, float32 (128,), between -1/4 and 1/4, that depends on `sha256` alone.

    `sha256` (hexadecimal) is expanded with SHAKE256 (FIPS 202) to 128 integers of 32 bits. So the
    numbers vary in their bits and exponents, which the time of exact sums depends on.
    """
    stream = hashlib.shake_256(bytes.fromhex(sha256)).digest(4 * DIMENSIONS)
    return np.frombuffer(stream, "<i4").astype(np.float32) / np.float32(2**33)
