"""What the processor of this machine can do."""

from pathlib import Path

# Instructions that multiply and add integers of 8 bits: Intel and AMD, then ARM.
_INTEGERS = {"avx512_vnni", "avx_vnni", "asimddp"}


def is_fast_at_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether the processor multiplies integers of 8 bits faster than float32.

    Where nothing is known (macOS), the answer is yes: all processors of Apple do.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    known = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return not known or not _INTEGERS.isdisjoint(known[0].split())
