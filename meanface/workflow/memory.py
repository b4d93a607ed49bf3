"""The memory of an encode job."""

JOB_MB = 350
"""MB beside the processes that encode: 100 for the script, 250 for Snakemake in the job."""

PROCESS_MB = {"cpu": 500, "cuda": 3500}
"""MB of each process that encodes, by device, see engine.isolate.

CUDA maps 2,000 to 2,500 MB and hardly uses them. Photos are decoded until they fill 256 MB.
"""

_BYTES_PER_PIXEL = 26  # to decode and turn the largest photo

_LEAST_MB = 200
"""MB that opening the models and encoding a small photo takes."""


def encode_mb(threads: int, device: str, max_pixels: int) -> int:
    """Give the memory that an encode job needs, in MB (1,000,000 bytes)."""
    return JOB_MB + threads * (PROCESS_MB[device] + _BYTES_PER_PIXEL * max_pixels // 1_000_000)


def process_bytes(megabytes: int, threads: int) -> int:
    """Give the bytes for each process that encodes, in a job that has `megabytes` MB.

    A process gets what it needs to open the models at least.
    """
    return max(1_000_000 * (megabytes - JOB_MB) // threads, 1_000_000 * _LEAST_MB)
