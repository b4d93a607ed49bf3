"""Embeddings of faces: the mean over crops of a face and over their mirror images."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanface.engine.encoder import CHIPS, open_encoder
from meanface.engine.jitter import jittered
from meanface.engine.outcome import DIMENSIONS
from meanface.engine.settings import EngineSettings


class Embed:
    """Encodes the crops that `settings` asks for, and averages them."""

    def __init__(self, settings: EngineSettings, models: Mapping[str, Path]) -> None:
        """Open the encoder, see open_encoder."""
        self._encoder = open_encoder(settings, models)
        self._jitters, self._flip = settings.jitters, settings.flip

    def __call__(self, chips: Sequence[tuple[NDArray[np.uint8], str]]) -> NDArray[np.float32]:
        """Give the embeddings, float32 (n, 128), of n chips, uint8 RGB (150, 150, 3).

        Each chip has the seed of its jittered crops. An embedding does not depend on other chips.
        """
        crops = (crop for chip, seed in chips for crop in self._crops(chip, seed))
        parts = [np.empty((0, DIMENSIONS), np.float32)]
        while some := list(islice(crops, CHIPS)):
            parts.append(self._encoder(np.stack(some)))
        of_each = self._jitters * (1 + self._flip)
        of_chips = np.concatenate(parts).reshape(len(chips), of_each, DIMENSIONS)
        return np.asarray(of_chips.mean(axis=1, dtype=np.float64), np.float32)

    def _crops(self, chip: NDArray[np.uint8], seed: str) -> Iterator[NDArray[np.uint8]]:
        for crop in jittered(chip, seed, self._jitters):
            yield crop
            if self._flip:
                yield crop[:, ::-1]
