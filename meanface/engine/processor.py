"""What the processor of this machine can do."""

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

# Instructions that multiply and add integers of 8 bits: Intel and AMD, then ARM.
_VNNI = {"avx512_vnni", "avx_vnni"}
_INTEGERS = {*_VNNI, "asimddp"}


def is_fast_at_int8(cpuinfo: Path = CPUINFO) -> bool:
    """Say whether the processor multiplies integers of 8 bits faster than float32.

    Where nothing is known (macOS), the answer is yes: all processors of Apple do.
    """
    known = _instructions(cpuinfo)
    return known is None or not _INTEGERS.isdisjoint(known)


def has_vnni(cpuinfo: Path = CPUINFO) -> bool:
    """Say whether the processor is known to add products of 8-bit integers without overflow."""
    return not _VNNI.isdisjoint(_instructions(cpuinfo) or ())


def _instructions(cpuinfo: Path) -> set[str] | None:
    """Give the names of the processor's instructions, or None where nothing is known."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    known = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return set(known[0].split()) if known else None
