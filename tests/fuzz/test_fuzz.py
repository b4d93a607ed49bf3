"""A short run of tests/fuzz/fuzz.py for each of its targets, and what longer runs have found."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meanface.results.outcomes import read_outcomes
from tests.fuzz.fuzz import TARGETS, outcome_files

SCRIPT = Path(__file__).with_name("fuzz.py")


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_input_is_refused_or_read_right(target: str) -> None:
    """In a process of its own, whose memory is limited."""
    command = [sys.executable, str(SCRIPT), "--examples", "40", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(rf"{target}: \d+ inputs in ", done.stdout)


@pytest.mark.parametrize(
    ("which", "damaged"),
    [
        # numpy reads the header as Python: tokenize.TokenError, SyntaxError, MemoryError.
        (0, (b"'shape': (2, 128), }", b"'shape': (2, 128), \n")),
        (0, (b"'shape': (2, 128), }", b"'shape': (2, 1 8)\0 }")),
        (0, (b"'shape': (2, 128), }          ", b"'shape': (99999999999999, 128)}")),
        (1, (b"hog@0", b'"hog"@0')),
        (1, (b"no_face", b'"no"_face')),
    ],
)
def test_damaged_outcomes_are_a_value_error(which: int, damaged: tuple[bytes, bytes]) -> None:
    files = list(outcome_files())
    assert damaged[0] in files[which]
    files[which] = files[which].replace(*damaged)
    with pytest.raises(ValueError, match=r"."):
        read_outcomes(*map(io.BytesIO, files))
