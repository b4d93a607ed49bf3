"""Two results have the same digest only if they are made of the same faces."""

from pathlib import Path

from meanface.results.made_of import made_of


def test_every_part_counts(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    digests = [
        made_of(one, ["a", "b"]),
        made_of(other, ["a", "b"]),
        made_of(one, ["ab"]),
        made_of(one, ["b", "a"]),
        made_of(one, ["a"], ["b"]),
        made_of(one, ["a", "b"], []),
    ]
    assert len(set(digests)) == len(digests)
    assert made_of(one, iter(["a", "b"])) == digests[0]
