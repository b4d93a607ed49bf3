"""The digest of a file's content, against coreutils."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from meanface.files.digest import file_digest

PHOTOS = hashlib.shake_256(b"photos").digest(300_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "photos.tgz"


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_file_digest_is_coreutils(target: Path, algorithm: str) -> None:
    target.write_bytes(PHOTOS)
    tool = subprocess.run([f"{algorithm}sum", target], capture_output=True, text=True, check=True)
    assert file_digest(target, algorithm) == tool.stdout.split()[0]
