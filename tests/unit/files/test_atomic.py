"""Files that appear whole or not at all."""

from pathlib import Path

from meanface.files.atomic import replacing


def test_what_is_written_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.write_text("before")
    with replacing(target) as part:
        part.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_writers_of_a_shared_file_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "shared"
    with replacing(target, shared=True) as first:
        first.write_text("half")
        with replacing(target, shared=True) as second:
            second.write_text("other")
        assert target.read_text() == "other"
        first.write_text("whole")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]
