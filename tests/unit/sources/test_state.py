"""What tells a changed source from an unchanged one."""

import gzip
import os
from pathlib import Path

import pytest

from meanface.sources.state import state_of


def test_an_archive_that_is_replaced_by_an_older_file_has_changed(tmp_path: Path) -> None:
    archive = tmp_path / "photos.tgz"
    archive.write_bytes(gzip.compress(b"photos"))
    before = state_of(archive)
    assert state_of(archive) == before
    os.utime(archive, (0, 0))
    assert state_of(archive) != before
    os.utime(archive, (0, 0))
    older = state_of(archive)
    archive.write_bytes(gzip.compress(b"others of another size"))
    os.utime(archive, (0, 0))
    assert state_of(archive) != older


def test_a_folder_in_which_a_file_was_renamed_has_changed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    before = state_of(tmp_path)
    (tmp_path / "a.jpg").rename(tmp_path / "b.jpg")
    assert state_of(tmp_path) != before


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        state_of(tmp_path / "nowhere.tgz")
