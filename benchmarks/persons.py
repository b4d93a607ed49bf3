"""Synthetic embeddings of known persons, whose distances resemble those of real photos."""

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 128

# Variances along the principal axes at these ranks, measured with dlib's network on 1,601 photos
# of Labeled Faces in the Wild, and log-linear in between.
_RANKS = (0, 1, 2, 4, 8, 16, 32, 64, 127)
_BETWEEN = (3.4e-2, 2.15e-2, 1.5e-2, 1.07e-2, 6.4e-3, 3.9e-3, 1.8e-3, 3.7e-4, 1e-7)
_WITHIN = (1.2e-3, 2.2e-3, 2.6e-3, 2.0e-3, 2.5e-3, 2.0e-3, 1.45e-3, 7.4e-4, 1e-7)
_SPREAD = 0.42  # of the logarithm of a face's squared distance to its person


def lfw_like_sizes(faces: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give numbers of photos per person with a long tail as in LFW: 7 in 10 persons have one."""
    sizes = np.minimum(rng.zipf(2.3, size=faces), 530)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), faces)) + 1]
    sizes[-1] -= sizes.sum() - faces
    return sizes[sizes > 0]


def synthetic_faces(
    sizes: NDArray[np.int64], seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Give embeddings, float32 (n, 128), and the person of each, int64 (n,), in mixed order."""
    rng = np.random.default_rng(seed)
    between, within = (
        np.sqrt(np.exp(np.interp(np.arange(DIMENSIONS), _RANKS, np.log(values)))).astype(np.float32)
        for values in (_BETWEEN, _WITHIN)
    )
    person = np.repeat(np.arange(len(sizes)), sizes)
    rng.shuffle(person)
    means = rng.standard_normal((len(sizes), DIMENSIONS), dtype=np.float32) * between
    faces = rng.standard_normal((len(person), DIMENSIONS), dtype=np.float32) * within
    faces *= rng.lognormal(-(_SPREAD**2) / 4, _SPREAD / 2, size=(len(person), 1)).astype(np.float32)
    faces += means[person]
    return faces, person
