"""Checks for a usable GPU before a model is opened."""

import ctypes

from meanface.errors import UserError

CUDA = "CUDAExecutionProvider"


def no_gpu(reason: str) -> UserError:
    """Give the error for `device: cuda` where ONNX Runtime can use no GPU, in one line."""
    return UserError(
        f"device: cuda was asked for, but ONNX Runtime can use no GPU here: {reason}; "
        "see docs/gpu.md, or write device: cpu"
    )


def check_gpu() -> None:
    """Raise UserError where there is no GPU, or no ONNX Runtime for it.

    Takes no memory of the GPU. Only open_session can find a missing library of CUDA.
    """
    import onnxruntime  # takes 0.2 s, which runs without a GPU save

    if CUDA not in onnxruntime.get_available_providers():
        raise no_gpu("ONNX Runtime is installed without CUDA")
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise no_gpu("NVIDIA's driver is not installed") from error
    if status := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        raise no_gpu(f"NVIDIA's driver finds no GPU (error {status})")
    if not count.value:
        raise no_gpu("NVIDIA's driver finds no GPU")
