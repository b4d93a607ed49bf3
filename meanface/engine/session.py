"""Sessions of ONNX Runtime, on a processor or a GPU, and their errors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meanface.engine.gpu import CUDA, no_gpu
from meanface.errors import DeviceError

_CUDA_OPTIONS = {
    "use_tf32": "0",  # TF32 rounds products to 10 bits
    "cudnn_conv_algo_search": "HEURISTIC",  # trying all algorithms takes long, for each photo size
}

_NO_MEMORY = re.compile("bad_alloc|Failed to allocate memory|out of memory|ALLOC_FAILED")
_OF_CUDA = re.compile("CUDA|CUDNN|CUBLAS", re.IGNORECASE)


def run_session(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """Give the output, float32, of a model of one output for its inputs by name.

    Raises MemoryError where memory runs out, and DeviceError where the GPU fails. ONNX Runtime has
    no exception classes for these.
    """
    # ONNX Runtime would copy them too, but tells no lack of memory while it does.
    contiguous = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
    try:
        (result,) = session.run(None, contiguous)
    except Exception as error:
        if _NO_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from error
        if _OF_CUDA.search(str(error)):
            raise DeviceError(str(error)) from error
        raise
    return np.asarray(result, dtype=np.float32)


def open_session(model: Path, device: str) -> onnxruntime.InferenceSession:
    """Open an ONNX model on "cpu" (one thread: a worker is one core) or "cuda".

    Raises UserError where `device` is "cuda" and ONNX Runtime cannot use a GPU, and MemoryError
    where memory runs out.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, sums of 8-bit products would overflow, and embeddings would differ.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if device == "cpu":
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if _NO_MEMORY.search(str(error)):
                raise MemoryError(str(error)) from error
            raise
    reason = "ONNX Runtime is installed without CUDA"
    if CUDA in onnxruntime.get_available_providers():
        try:
            onnxruntime.preload_dlls()  # CUDA as pip installs it lies where no loader looks
            session = onnxruntime.InferenceSession(
                str(model),
                options,
                providers=[(CUDA, _CUDA_OPTIONS), "CPUExecutionProvider"],
                enable_fallback=0,  # which would go on with the CPU
            )
        except Exception as error:
            if _OF_CUDA.search(str(error)):
                raise no_gpu(" ".join(str(error).split())) from error
            raise
        if session.get_providers()[0] == CUDA:
            return session
        reason = "its CUDA provider or the driver cannot be loaded"
    raise no_gpu(reason)
