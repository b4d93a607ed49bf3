"""Encoders: face chips become embeddings, by dlib's network in ONNX Runtime or in dlib itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import dlib
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.engine.session import open_session, run_session
from meanface.engine.settings import EngineSettings

CHIPS = 64  # in a batch at most: photos of crowds have hundreds of faces


class Encoder(Protocol):
    """Chips uint8 RGB (n, 150, 150, 3) in, embeddings float32 (n, 128) out."""

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def open_encoder(settings: EngineSettings, models: Mapping[str, Path]) -> Encoder:
    """Open settings.encoder: the exported network in settings.precision, or dlib's own."""
    if settings.encoder == "dlib":
        return DlibEncoder()
    return OnnxEncoder(open_session(models[settings.network]))


class OnnxEncoder:
    """dlib's encoder, exported by meanface.engine.export."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Encode with `session`."""
        self._session = session

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode chips. The embedding of a chip does not depend on the other chips."""
        return run_session(self._session, {"chips": chips})


class DlibEncoder:
    """The reference: dlib's own network, about twenty times slower from a wheel without BLAS."""

    def __init__(self) -> None:
        import face_recognition_models  # finds its files, which only this encoder reads itself

        self._network = dlib.face_recognition_model_v1(
            face_recognition_models.face_recognition_model_location()
        )

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode chips one by one."""
        embeddings: Sequence[dlib.vector] = [
            self._network.compute_face_descriptor(chip) for chip in chips
        ]
        return np.array(embeddings, dtype=np.float32).reshape(len(chips), DIMENSIONS)
