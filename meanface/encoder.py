"""Turn face chips into embeddings, by dlib's network in ONNX Runtime or, as reference, in dlib."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import dlib
import face_recognition_models
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meanface.engine import EngineSettings
from meanface.errors import DeviceError, UserError
from meanface.outcomes import DIMENSIONS

CHIPS = 64  # given to an encoder at once at most: photos of crowds have hundreds

_CUDA = "CUDAExecutionProvider"
_CUDA_OPTIONS = {
    "use_tf32": "0",  # it would round the products to 10 bits
    "cudnn_conv_algo_search": "HEURISTIC",  # to try them out takes long, for each size of a photo
}

_NO_MEMORY = re.compile("bad_alloc|Failed to allocate memory|out of memory|ALLOC_FAILED")
_OF_CUDA = re.compile("CUDA|CUDNN|CUBLAS", re.IGNORECASE)


def run_session(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """Give the output, float32, of a model of one output for its inputs by name.

    Raises MemoryError where there is not enough, DeviceError where the GPU fails: ONNX Runtime has
    no classes of its own for these.
    """
    try:
        (result,) = session.run(None, dict(inputs))
    except Exception as error:
        if _NO_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from error
        if _OF_CUDA.search(str(error)):
            raise DeviceError(str(error)) from error
        raise
    return np.asarray(result, dtype=np.float32)


class Encoder(Protocol):
    """Chips uint8 RGB (n, 150, 150, 3) in, embeddings float32 (n, 128) out."""

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def open_session(model: Path, device: str) -> onnxruntime.InferenceSession:
    """Open an ONNX model on "cpu" (one thread: a worker is one core) or "cuda".

    Raises UserError where `device` is "cuda" and ONNX Runtime cannot use a GPU.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if device == "cpu":
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    reason = "it is installed without CUDA"
    if _CUDA in onnxruntime.get_available_providers():
        try:
            onnxruntime.preload_dlls()  # CUDA as pip installs it lies where no loader looks
            session = onnxruntime.InferenceSession(
                str(model),
                options,
                providers=[(_CUDA, _CUDA_OPTIONS), "CPUExecutionProvider"],
                enable_fallback=0,  # which would go on with the CPU
            )
        except Exception as error:
            if _OF_CUDA.search(str(error)):
                raise UserError(_no_gpu(" ".join(str(error).split()))) from error
            raise
        if session.get_providers()[0] == _CUDA:
            return session
        reason = "its CUDA provider or the driver cannot be loaded"
    raise UserError(_no_gpu(reason))


def _no_gpu(reason: str) -> str:
    return (
        f"device: cuda was asked for, but ONNX Runtime can use no GPU here: {reason}; "
        "see GPU in docs/performance.md, or write device: cpu"
    )


def open_encoder(settings: EngineSettings, models: Mapping[str, Path]) -> Encoder:
    """Open settings.encoder: the exported network models["encoder"], or dlib's own.

    Raises UserError where settings.device is "cuda" and there is no usable GPU.
    """
    if settings.encoder == "dlib":
        return DlibEncoder()
    session = open_session(models["encoder"], settings.device)
    return OnnxEncoder(session, filled_up=settings.device == "cuda")


class OnnxEncoder:
    """dlib's encoder, exported by meanface.models."""

    def __init__(self, session: onnxruntime.InferenceSession, *, filled_up: bool = False) -> None:
        """Encode with `session`, always CHIPS at once where `filled_up`.

        For another number of them a GPU plans anew, which takes longer than to encode, and may
        choose other algorithms, with other roundings.
        """
        self._session = session
        self._least = CHIPS if filled_up else 0

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode chips; the result for a chip does not depend on the others in the batch."""
        missing = max(0, self._least - len(chips))
        blank = np.zeros((missing, *chips.shape[1:]), np.uint8)
        filled = np.concatenate([chips, blank])
        return run_session(self._session, {"chips": filled})[: len(chips)]


class DlibEncoder:
    """The reference: dlib's own network, about twenty times slower from a wheel without BLAS."""

    def __init__(self) -> None:
        self._network = dlib.face_recognition_model_v1(
            face_recognition_models.face_recognition_model_location()
        )

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode chips one by one."""
        embeddings: Sequence[dlib.vector] = [
            self._network.compute_face_descriptor(chip) for chip in chips
        ]
        return np.array(embeddings, dtype=np.float32).reshape(len(chips), DIMENSIONS)
