"""Folders as they are found on disks, NAS and clusters: what in them are the photos."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from meanface.errors import UserError
from meanface.shards.manifest import read_manifest
from meanface.shards.split import split
from meanface.sources.acquire import describe
from meanface.sources.archive import read_members
from meanface.sources.ignore import Ignore
from meanface.sources.listing import Amount, amount_of, folder_listing
from tests.runs import ROOT

PHOTOS = {"Hopper/1.jpg": b"1", "Collins/2.jpg": b"2"}
# What file managers, NAS, and photo programs leave beside photos.
IGNORED = [
    "Hopper/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "Hopper/.@__thumb/s8001.jpg",
    "Hopper/.thumbnails/normal/1.png",
    "Hopper/.picasaoriginals/1.jpg",
    "Hopper/.AppleDouble/1.jpg",
    "Hopper/._1.jpg",
    "Hopper/.DS_Store",
    "Hopper/.trashed-1700000000-old.jpg",
    "#recycle/Hopper/old.jpg",
    "#snapshot/daily/1.jpg",
    "@Recycle/old.jpg",
    "@Recently-Snapshot/1.jpg",
    ".Trash-1000/files/old.jpg",
    ".Trashes/501/old.jpg",
    ".Spotlight-V100/x.jpg",
    "$RECYCLE.BIN/S-1-5-21/$R1.jpg",
    "$Recycle.Bin/S-1-5-21/$R2.jpg",
    "RECYCLER/S-1-5-21/Dc1.jpg",
    "System Volume Information/x.jpg",
    "lost+found/#12345.jpg",
    "__MACOSX/Hopper/._1.jpg",
    "My.photoslibrary/resources/derivatives/1.jpg",
    "Hopper/Pictures/My.photoslibrary/resources/derivatives/1.jpg",
    "Hopper/Pictures/My.photoslibrary/private/x/1.jpg",
    "Hopper/My.photolibrary/Thumbnails/1.jpg",
    "nextcloud/data/appdata_oc1/preview/a/b/1.jpg",
    "nextcloud/data/ann/files_trashbin/files/1.jpg",
    "Hopper/Lightroom/My Previews.lrdata/1.jpg",
    "Hopper/trashbox/1.jpg",
    "Recycle Bin/1.jpg",
    "Hopper/~snapshot/daily/1.jpg",
    "DfsrPrivate/ConflictAndDeleted/1.jpg",
    "two\nlines/@eaDir/1.jpg",
]
KEPT = ["...jpg", "a.b/.../1.jpg", "eaDir/1.jpg", "recycle/1.jpg", "lost/1.jpg", "x@eaDir/1.jpg"]
KEPT += ["My.photoslibrary/originals/A/1.jpg", "x/My.photolibrary/Masters/1.jpg", "resources/1.jpg"]


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read(source: Path, **options: Any) -> tuple[dict[str, bytes | None], Counter[str]]:  # noqa: ANN401
    skipped: Counter[str] = Counter()
    members = read_members(source, skipped, max_bytes=1 << 20, **options)
    return {member.path: member.data for member in members}, skipped


# --- what is ignored ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_trash_thumbnails_and_hidden_files_are_skipped_and_counted(
    kind: str, tmp_path: Path
) -> None:
    files = PHOTOS | dict.fromkeys(IGNORED, b"x") | dict.fromkeys(KEPT, b"kept")
    write = {"folder": fill, "tar": write_tar, "zip": write_zip}[kind]
    found, skipped = read(write(tmp_path / "x", files))
    assert found == PHOTOS | dict.fromkeys(KEPT, b"kept")
    # A folder that is ignored in a folder is not looked into.
    assert skipped["ignored"] == len(IGNORED)


def test_the_source_itself_may_be_hidden(tmp_path: Path) -> None:
    folder = fill(tmp_path / ".cache/@eaDir/.photos", PHOTOS)
    assert read(folder)[0] == PHOTOS


def test_patterns_leave_out_and_take_in(tmp_path: Path) -> None:
    files = dict.fromkeys(["a/1.jpg", "a/raw/2.jpg", ".b/3.jpg", ".b/._3.jpg", "c_edited.jpg"], b"")
    patterns = ["raw/", "*_edited.*", "!.b/"]
    for source in (fill(tmp_path / "x", files), write_tar(tmp_path / "x.tar", files)):
        found, skipped = read(source, ignore=patterns)
        assert set(found) == {"a/1.jpg", ".b/3.jpg"}
        assert skipped["ignored"] == 3


PATTERNS = [
    ["/a/", "!b", "*.png"],
    ["a/*", "!a/b/"],
    ["**/b/**", "c?.jpg", "[ab]1.jpg"],
    ["/*", "!/a/", "/a/*", "!/a/b.jpg"],
    ["!.h/", r"\!x.jpg", "# comment", "trailing.jpg  ", ""],
    ["a/b/", "!a/b/a1.jpg"],
]


@pytest.mark.parametrize("patterns", PATTERNS)
def test_patterns_mean_what_they_mean_to_git(patterns: list[str], tmp_path: Path) -> None:
    folders = ["", "a/", "b/", "a/b/", ".h/", "d/a/b/", "d/.h/x/"]
    names = ["a1.jpg", "b.jpg", "c2.jpg", "x.png", "!x.jpg", "trailing.jpg", ".x.jpg"]
    files = dict.fromkeys((folder + name for folder in folders for name in names), b"")
    from meanface.sources.ignore import ALWAYS

    rules = tmp_path / "rules"
    rules.write_text("\n".join([*ALWAYS, *patterns]))
    folder = fill(tmp_path / "x", files)
    subprocess.run(["git", "init", "-q", folder], check=True)
    listed = subprocess.run(
        ["git", "-C", folder, "ls-files", "--others", "-z", f"--exclude-from={rules}"],
        capture_output=True,
        check=True,
        text=True,
    )
    expected = set(listed.stdout.strip("\0").split("\0"))
    assert 0 < len(expected) < len(files)
    found = {path for path in read(folder, ignore=patterns)[0] if not path.startswith(".git/")}
    assert found == expected
    assert set(read(write_tar(tmp_path / "x.tar", files), ignore=patterns)[0]) == expected


def test_the_previews_of_a_library_are_ignored_where_the_library_is_the_source(
    tmp_path: Path,
) -> None:
    library = fill(tmp_path / "My.photoslibrary", {"originals/A/1.jpg": b"1"})
    fill(library, dict.fromkeys(["resources/derivatives/1.jpg", "private/x/1.jpg"], b"x"))
    assert read(library)[0] == {"originals/A/1.jpg": b"1"}
    assert read(library, ignore=["!resources/"])[0].keys() > {"originals/A/1.jpg"}


@pytest.mark.parametrize("pattern", ["!", "\\", "[z-a]"])
def test_a_pattern_that_is_none_is_named(pattern: str) -> None:
    with pytest.raises(UserError, match="config: ignore: ") as caught:
        Ignore([pattern])
    assert "\n" not in str(caught.value)


def test_changes_in_ignored_folders_change_nothing(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", PHOTOS | {"old/3.jpg": b"3"})
    digests = {folder_listing(folder, ["old/"]).digest}
    amount = amount_of(folder, ["old/"])
    fill(folder, dict.fromkeys([*IGNORED, "old/4.jpg"], b"x"))
    digests.add(folder_listing(folder, ["old/"]).digest)
    digests.add(str(describe(folder, None, ["old/"])["listing"]))
    assert len(digests) == 1
    assert amount == amount_of(folder, ["old/"]) == Amount(size=2, photos=2)
    assert folder_listing(folder).digest not in digests


def as_user_without_privileges(code: str, *arguments: str | Path) -> str:
    """Run Python to which the modes of files apply, even where the tests are root's."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


SPLIT = """
import sys; from pathlib import Path
from meanface.shards.split import split
source, out = map(Path, sys.argv[1:])
made = [out / "0.tar"], [out / "0.csv"]
print(dict(split(source, *made, suffixes=frozenset({".jpg"}), max_bytes=9)))
"""


def test_an_ignored_folder_that_cannot_be_listed_is_no_fault(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", PHOTOS | {"lost+found/3.jpg": b"3"})
    (folder / "lost+found").chmod(0)
    told = as_user_without_privileges(SPLIT, folder, tmp_path)
    assert "'photos': 2" in told
    assert "'ignored': 1" in told


# --- what cannot be read ------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", PHOTOS | {"Hopper/secret.jpg": b"3", "Hopper/secret.txt": b"4"})
    for name in ("secret.jpg", "secret.txt"):
        (folder / "Hopper" / name).chmod(0)
    told = as_user_without_privileges(SPLIT, folder, tmp_path)
    assert "'photos': 3" in told
    assert "'unreadable': 1" in told  # whether that is a photo nobody can tell
    assert "Hopper/secret.jpg cannot be read: Permission denied" in told
    rows = [(path, size, bool(digest)) for path, size, digest in read_manifest(tmp_path / "0.csv")]
    assert rows == [
        ("Collins/2.jpg", 1, True),
        ("Hopper/1.jpg", 1, True),
        ("Hopper/secret.jpg", 0, False),
    ]


def test_a_file_that_vanishes_or_changes_fails_alone(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(4)]
    folder = fill(tmp_path, dict.fromkeys(names, b"1"))
    members = read_members(folder, Counter(), max_bytes=100)
    assert next(members).error == ""
    (folder / "1.jpg").unlink()
    assert next(members).error == "No such file or directory"
    assert [(member.size, member.error) for member in members] == [(1, ""), (1, "")]


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="the system has no /proc")
def test_a_file_that_holds_more_than_its_size_says_fails_alone() -> None:
    """Files of /proc have content and the size 0, as one has that is being written."""
    members = list(read_members(Path("/proc/self/fdinfo"), Counter(), max_bytes=100))
    assert members
    assert {(member.size, member.data) for member in members} == {(0, None)}
    assert "its size changed while it was read" in {member.error for member in members}


def test_a_folder_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", PHOTOS)
    members = read_members(folder, Counter(), max_bytes=100)
    next(members)
    folder.rename(tmp_path / "gone")
    with pytest.raises(UserError, match=f"{folder}: cannot be listed: No such file"):
        list(members)


# --- folders of archives ------------------------------------------------------------------------


def photo(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (2, 2), colour).save(stream, "PNG")
    return stream.getvalue()


def paths_in(source: Path, out: Path) -> tuple[list[str], Counter[str]]:
    made = [[out / f"{number}.{kind}" for number in range(2)] for kind in ("tar", "csv")]
    counts = split(source, *made, suffixes=frozenset({".jpg"}), max_bytes=1 << 20)
    return sorted(row.path for manifest in made[1] for row in read_manifest(manifest)), counts


def test_a_folder_of_tars_is_read(tmp_path: Path) -> None:
    """As img2dataset and WebDataset write them: the caption and data of a photo lie beside it."""
    for number in range(3):
        key = f"{number:05}0000"
        sample = {f"{key}.jpg": photo(number), f"{key}.json": b"{}", f"{key}.txt": b"caption"}
        write_tar(tmp_path / f"x/{number:05}.tar", sample)
        fill(tmp_path / "x", {f"{number:05}.parquet": b"PAR1", f"{number:05}_stats.json": b"{}"})
    write_zip(tmp_path / "x/more.zip", {"Hopper/1": photo(9), "@eaDir/1.jpg": b"x"})
    paths, counts = paths_in(tmp_path / "x", tmp_path)
    assert paths == [*(f"{n:05}.tar/{n:05}0000.jpg" for n in range(3)), "more.zip/Hopper/1"]
    assert counts == {"photos": 4, "not_a_photo": 12, "ignored": 1}


def test_archives_beside_photos_are_no_photos(tmp_path: Path) -> None:
    fill(tmp_path / "x", PHOTOS)
    write_tar(tmp_path / "x/backup.tar", PHOTOS)
    paths, counts = paths_in(tmp_path / "x", tmp_path)
    assert paths == sorted(PHOTOS)
    assert counts["not_a_photo"] == 1


def test_an_archive_within_an_archive_is_not_opened(tmp_path: Path) -> None:
    write_tar(tmp_path / "inner.tar", PHOTOS)
    inner = (tmp_path / "inner.tar").read_bytes()
    write_tar(tmp_path / "x/outer.tar", {"inner.tar": inner, "Hopper/1.jpg": b"1"})
    assert paths_in(tmp_path / "x", tmp_path)[0] == ["outer.tar/Hopper/1.jpg"]


def test_a_damaged_archive_in_a_folder_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "x/0.tar", PHOTOS)
    whole = write_tar(tmp_path / "x/1.tar", PHOTOS).read_bytes()
    (tmp_path / "x/1.tar").write_bytes(whole[:700])
    with pytest.raises(UserError, match=r"x/1\.tar cannot be read at or after member 'Hopper"):
        paths_in(tmp_path / "x", tmp_path)


def test_paths_in_the_archives_of_a_folder_lead_nowhere_else(tmp_path: Path) -> None:
    for name in ("../up.jpg", "/etc/x.jpg", "."):
        write_tar(tmp_path / "x/0.tar", {"a.jpg": b"1", name: b"1"})
        with pytest.raises(UserError, match=r"x/0\.tar: member"):
            paths_in(tmp_path / "x", tmp_path)


def test_the_limits_hold_for_all_archives_of_a_folder_together(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for number in range(4):
        write_zip(tmp_path / f"x/{number}.zip", {"a.jpg": bytes(1000)})
    assert len(read(tmp_path / "x", archives=True, max_total_bytes=4000)[0]) == 4
    with pytest.raises(UserError, match=r"x/3\.zip holds more .* raise max_total_bytes"):
        read(tmp_path / "x", archives=True, max_total_bytes=3999)


# --- patterns in place of a folder --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.tar", ["a.tar/1.jpg", "b.tar/1.jpg"]),
        ("[b-z].tar", ["b.tar/1.jpg"]),
        ("*", ["2019/1.jpg", "2019/x/2.jpg", "2020/3.jpg", "top.jpg"]),
        ("20*", ["2019/1.jpg", "2019/x/2.jpg", "2020/3.jpg"]),
        ("*/*.jpg", ["2019/1.jpg", "2020/3.jpg"]),
        ("201?/*/2.jpg", ["2019/x/2.jpg"]),
    ],
)
def test_a_pattern_names_files_and_folders(
    pattern: str, expected: list[str], tmp_path: Path
) -> None:
    names = ["2019/1.jpg", "2019/x/2.jpg", "2020/3.jpg", "top.jpg", ".hidden/4.jpg", "@eaDir/5.jpg"]
    fill(tmp_path / "x", dict.fromkeys(names, b"1"))
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / "x" / name, {"1.jpg": b"1"})
    place = tmp_path / "x" / pattern
    assert paths_in(place, tmp_path)[0] == expected
    before = folder_listing(place).digest
    fill(tmp_path / "x", {"notes.md": b"", "other.md/x": b""})
    assert (folder_listing(place).digest == before) == (pattern != "*")
    assert describe(place, None)["kind"] == "folder"


def test_a_file_that_is_named_like_a_pattern_is_itself(tmp_path: Path) -> None:
    write_tar(tmp_path / "a[1].tar", {"1.jpg": b"1"})
    write_tar(tmp_path / "a1.tar", {"2.jpg": b"1"})
    assert paths_in(tmp_path / "a[1].tar", tmp_path)[0] == ["1.jpg"]
