"""Checksums that a file must have."""

import hashlib
from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.sources.checksum import Checksum, verify

PHOTOS = hashlib.shake_256(b"photos").digest(300_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "photos.tgz"


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


def test_verify(target: Path) -> None:
    target.write_bytes(b"abc")
    verify(target, Checksum("md5", "900150983cd24fb0d6963f7d28e17f72"))  # RFC 1321
    expected = "0" * 32
    with pytest.raises(UserError) as caught:
        verify(target, Checksum("md5", expected))
    for word in (str(target), expected, "900150983cd24fb0d6963f7d28e17f72"):
        assert word in str(caught.value)


def test_verify_missing_file(target: Path) -> None:
    with pytest.raises(UserError, match=r"photos\.tgz: .*No such file"):
        verify(target, sha256(b""))


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("sha256", "0" * 32), ("md5", "0" * 31), ("md5", "g" * 32)]
)
def test_malformed_digest(algorithm: str, digest: str) -> None:
    with pytest.raises(UserError, match=f"{algorithm}.*{digest}.*hexadecimal"):
        Checksum(algorithm, digest)


def test_unknown_algorithm() -> None:
    with pytest.raises(UserError, match=r"sha1.*give sha256 or md5"):
        Checksum("sha1", "0" * 40)
