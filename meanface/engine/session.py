"""Sessions of ONNX Runtime, and their errors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meanface.engine.processor import has_vnni

NO_OVERFLOW = "session.x64quantprecision"
"""ONNX Runtime's setting that lets no sum of 8-bit products overflow without VNNI."""

_NO_MEMORY = re.compile("bad_alloc|Failed to allocate memory|out of memory|ALLOC_FAILED")


def run_session(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """Give the output, float32, of a model of one output for its inputs by name.

    Raises MemoryError where memory runs out. ONNX Runtime has no exception class for it.
    """
    # ONNX Runtime would copy them too, but tells no lack of memory while it does.
    contiguous = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
    try:
        (result,) = session.run(None, contiguous)
    except Exception as error:
        if _NO_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from error
        raise
    return np.asarray(result, dtype=np.float32)


def open_session(model: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX model, with one thread: a worker is one core.

    Raises MemoryError where memory runs out.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, sums of 8-bit products would overflow, and embeddings would differ. With VNNI,
    # this way of avoiding overflow would double the time.
    if not has_vnni():
        options.add_session_config_entry(NO_OVERFLOW, "1")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if _NO_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from error
        raise
