"""The memory of an encode job."""

JOB_MB = 350
"""MB beside the processes that encode: 100 for the script, 250 for Snakemake in the job."""

PROCESS_MB = 500
"""MB of each process that encodes on a processor, see engine.isolate."""

GPU_PROCESS_MB = 8000
"""MB of the process that encodes on a GPU, and of the photos on the way, see engine.gpu.isolate."""

_BYTES_PER_PIXEL = 26  # to decode and turn the largest photo

_LEAST_MB = 200
"""MB that opening the models and encoding a small photo takes."""


def encode_mb(threads: int, device: str, max_pixels: int) -> int:
    """Give the memory that an encode job needs, in MB (1,000,000 bytes)."""
    each = PROCESS_MB + _BYTES_PER_PIXEL * max_pixels // 1_000_000
    return _shared_mb(device) + threads * each


def process_bytes(megabytes: int, threads: int, device: str) -> int:
    """Give the bytes for each process on a processor, in an encode job that has `megabytes` MB.

    A process gets what it needs to open the models at least.
    """
    return max(1_000_000 * (megabytes - _shared_mb(device)) // threads, 1_000_000 * _LEAST_MB)


def _shared_mb(device: str) -> int:
    return JOB_MB + (GPU_PROCESS_MB if device == "cuda" else 0)
