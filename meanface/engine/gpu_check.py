"""Checks for a usable GPU before a model is opened."""

import ctypes

from meanface.engine.settings import missing_packages
from meanface.errors import UserError


def no_gpu(reason: str) -> UserError:
    """Give the error for `device: cuda` where no GPU can be used, in one line."""
    return UserError(
        f"device: cuda was asked for, but no GPU can be used here: {reason}; "
        "see docs/gpu.md, or write device: cpu"
    )


def check_gpu() -> None:
    """Raise UserError where there is no GPU, or a package for it is missing.

    Imports no package, and takes no memory of the GPU.
    """
    if missing := missing_packages():
        raise no_gpu(f"{' and '.join(missing)} not installed")
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise no_gpu("NVIDIA's driver is not installed") from error
    if status := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        raise no_gpu(f"NVIDIA's driver finds no GPU (error {status})")
    if not count.value:
        raise no_gpu("NVIDIA's driver finds no GPU")
