"""Archives made to do harm: bombs, names that are traps, and writes outside of the run's folder.

More of what archives can be is in test_archive.py (paths that lead elsewhere, devices, links,
encrypted and damaged archives) and in test_shards.py (members of one name, no photo).
"""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zstandard
from PIL import Image

from meanface.errors import UserError
from meanface.sources.archive import read_members
from tests.runs import ROOT, snakemake

MB = 1 << 20
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


def tar_bytes(*members: tuple[str | bytes, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(os.fsdecode(name))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zip_bytes(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def read(source: Path, max_bytes: int = MB, **limits: Any) -> list[str]:  # noqa: ANN401
    members = read_members(source, Counter(), max_bytes=max_bytes, **limits)
    return [member.path for member in members]


def refusal(source: Path, max_bytes: int = MB, **limits: Any) -> str:  # noqa: ANN401
    with pytest.raises(UserError) as caught:
        read(source, max_bytes, **limits)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    return str(caught.value)


# --- bombs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_bomb_is_refused_by_its_ratio(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "bomb.tar"
    members = ((f"{i}.jpg", bytes(MB // 2)) for i in range(32))
    source.write_bytes(COMPRESSED[kind](tar_bytes(*members)))
    assert 200 * source.stat().st_size < 16 * MB
    message = refusal(source, max_ratio=100)
    assert re.search(r"at or after member '[0-6]\.jpg'; if you trust it, raise max_ratio$", message)
    assert len(read(source)) == 32


@pytest.mark.parametrize("kind", ["gz", "zip"])
@pytest.mark.parametrize(("room", "refused"), [(0, True), (100_000, False)])
def test_the_limit_on_the_total_is_what_it_says(
    kind: str, room: int, refused: bool, tmp_path: Path
) -> None:
    source, files = tmp_path / "x", [(f"{i}.jpg", os.urandom(100_000)) for i in range(5)]
    source.write_bytes(zip_bytes(*files) if kind == "zip" else gzip.compress(tar_bytes(*files)))
    most = 450_000 + room
    if refused:
        message = refusal(source, max_total_bytes=most)
        assert "at or after member '4.jpg'" in message
        assert message.endswith("if you trust it, raise max_total_bytes")
    else:
        assert len(read(source, max_total_bytes=most)) == 5


def test_a_bomb_of_members_too_large_to_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(tar_bytes(("large.jpg", bytes(64 * MB)))))
    assert "'large.jpg'" in refusal(tmp_path / "x", max_ratio=100)


def test_a_bomb_behind_the_end_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(tar_bytes(("a.jpg", b"1")) + bytes(64 * MB)))
    assert "'a.jpg'" in refusal(tmp_path / "x", max_ratio=100)
    assert read(tmp_path / "x") == ["a.jpg"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused(method: int, tmp_path: Path) -> None:
    files = [(f"{i}.jpg", bytes(MB)) for i in range(16)]
    (tmp_path / "x").write_bytes(zip_bytes(*files, method=method))
    assert "'1.jpg'" in refusal(tmp_path / "x", max_ratio=100)


def test_a_zip_whose_members_share_their_data_is_refused(tmp_path: Path) -> None:
    """David Fifield, "A better zip bomb", 2019: many entries, one piece of data."""
    data = zip_bytes(("0.jpg", bytes(MB)))
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[start:end]
    entries = b"".join(entry.replace(b"0.jpg", b"%d.jpg" % i) for i in range(10))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(entries), start, 0)
    (tmp_path / "x").write_bytes(data[:start] + entries + tail)
    refusal(tmp_path / "x", max_ratio=100)


def test_a_bomb_of_holes_is_refused(tmp_path: Path) -> None:
    for i in range(8):
        with (tmp_path / f"{i}.jpg").open("wb") as file:
            file.truncate(MB)
    subprocess.run(
        ["tar", "-S", "-C", tmp_path, "-cf", tmp_path / "x", *(f"{i}.jpg" for i in range(8))],
        check=True,
    )
    assert (tmp_path / "x").stat().st_size < 20_000
    assert "'1.jpg'" in refusal(tmp_path / "x", max_ratio=100)
    assert len(read(tmp_path / "x")) == 8


def test_a_folder_has_a_total_and_no_ratio(tmp_path: Path) -> None:
    for i in range(8):
        with (tmp_path / f"{i}.jpg").open("wb") as file:
            file.truncate(MB)
    assert "'3.jpg'" in refusal(tmp_path, max_total_bytes=3 * MB)
    assert len(read(tmp_path, max_total_bytes=8 * MB, max_ratio=1)) == 8


def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    """Measured from outside: what the decompressors take is unknown to tracemalloc."""
    script = (
        "import resource, sys; from collections import Counter; from pathlib import Path\n"
        "from meanface.sources.archive import read_members\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "for member in read_members(Path(sys.argv[1]), Counter(), max_bytes=1 << 20): pass\n"
        "print(peak() - before)"
    )
    for kind, compress in COMPRESSED.items():
        data = tar_bytes(("a.jpg", bytes(128 * MB)), ("b.jpg", b"1"))
        source = tmp_path / kind
        source.write_bytes(compress(data))
        command = [sys.executable, "-c", script, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert int(done.stdout) < 64, kind


# --- zip64 --------------------------------------------------------------------------------------


def test_a_zip64_of_more_than_4_gb_is_read(tmp_path: Path) -> None:
    """Sparse: the members of 3 GB each take no room, and are not read."""
    source = tmp_path / "x.zip"
    size = 3 << 30
    with source.open("wb") as stream:
        entries = b""
        for name, data in ((b"a.jpg", None), (b"b.jpg", None), (b"c.jpg", b"the last")):
            length = size if data is None else len(data)
            crc = 0 if data is None else zlib.crc32(data)
            at = stream.tell()
            common = struct.pack("<5H3I", 45, 0, 0, 0, 0, crc, length, length)
            stream.write(b"PK\3\4" + common + struct.pack("<2H", len(name), 0) + name)
            if data is None:
                stream.seek(length, os.SEEK_CUR)
            else:
                stream.write(data)
            extra = struct.pack("<2HQ", 1, 8, at)
            more = struct.pack("<5H2I", len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
            entries += b"PK\1\2" + struct.pack("<H", 45) + common + more + name + extra
        start = stream.tell()
        stream.write(entries)
        end = stream.tell()
        stream.write(b"PK\6\6")
        stream.write(struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 3, 3, len(entries), start))
        stream.write(b"PK\6\7" + struct.pack("<IQI", 0, end, 1))
        stream.write(b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 3, 3, len(entries), 0xFFFFFFFF, 0))
    assert source.stat().st_size > 6 << 30
    members = list(read_members(source, Counter(), max_bytes=MB, max_ratio=100))
    assert [(member.path, member.size, member.data) for member in members] == [
        ("a.jpg", size, None),
        ("b.jpg", size, None),
        ("c.jpg", 8, b"the last"),
    ]


def test_a_zip64_of_more_than_65535_members_is_read(tmp_path: Path) -> None:
    source = tmp_path / "x.zip"
    source.write_bytes(zip_bytes(*((f"{i}.jpg", b"") for i in range(65_537))))
    assert len(read(source)) == 65_537


@pytest.mark.parametrize("headers", [{"comment": "x" * 500_000}, {"SCHILY.xattr.user.x": "y" * 9}])
def test_pax_headers_that_are_no_use_are_passed_over(
    headers: dict[str, str], tmp_path: Path
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = headers
        archive.addfile(info)
    (tmp_path / "x").write_bytes(stream.getvalue())
    assert read(tmp_path / "x") == ["a.jpg"]


def test_a_tar_of_headers_alone_is_refused(tmp_path: Path) -> None:
    """Each extension header announces the next one."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 8
    piece = header.tobuf(tarfile.GNU_FORMAT) + b"name.jpg".ljust(512, b"\0")
    (tmp_path / "x").write_bytes(piece * 5000)
    refusal(tmp_path / "x")


# --- nothing is written elsewhere ---------------------------------------------------------------

# Every Python of the run loads this and writes down which paths it was about to change. All that
# reads archives is Python.
WATCH = """
import json, os, sys

def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            return
        paths = [path]
    elif event in ("os.rename", "os.link", "os.symlink"):
        paths = arguments[:2]
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.utime"):
        paths = arguments[:1]
    else:
        return
    lines = [
        json.dumps(os.path.realpath(os.fsdecode(path))) + "\\n"
        for path in paths
        if not isinstance(path, int)
    ]
    os.write(log, "".join(lines).encode())

log = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(watch)
"""


class Watched:
    """The paths that the processes started with `environment` were about to change."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self.folder = folder
        for name in ("hook", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "hook" / "sitecustomize.py").write_text(WATCH)
        self.environment = {
            "PYTHONPATH": str(folder / "hook"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCH_LOG": str(self._log),
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
            "TMPDIR": str(folder / "tmp"),
        }

    @property
    def changed(self) -> set[Path]:
        return {Path(json.loads(line)) for line in self._log.read_text().splitlines()}

    def outside(self, *allowed: Path) -> set[Path]:
        inside = [path.resolve() for path in (*allowed, Path("/dev"), self.folder)]
        return {path for path in self.changed if not any(map(path.is_relative_to, inside))}


def tree(folder: Path) -> dict[str, tuple[int, int, bytes | bool]]:
    """Every file below a folder, with its mode, its time and its content."""
    return {
        str(path): (
            status.st_mode,
            status.st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
        if (status := path.lstat())
    }


def info_of(name: str, type: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = type
    for key, value in more.items():
        setattr(info, key, value)
    return info


def traps(victim: Path) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    """Tars that would change `victim`, or a file beside it, if they were just unpacked."""
    up = "../" * 20 + str(victim).lstrip("/")
    yield "absolute", [info_of(str(victim), size=4)]
    yield "up", [info_of(up, size=4)]
    yield "inside_up", [info_of(f"a/{up}", size=4)]
    link = info_of("out", tarfile.SYMTYPE, linkname=str(victim.parent))
    yield "through_a_link", [link, info_of(f"out/{victim.name}", size=4)]
    link = info_of("out.jpg", tarfile.SYMTYPE, linkname=str(victim))
    yield "onto_a_link", [link, info_of("out.jpg", size=4)]
    hard = info_of("out.jpg", tarfile.LNKTYPE, linkname=str(victim))
    yield "onto_a_hard_link", [hard, info_of("out.jpg", size=4)]
    yield "device", [info_of("out.jpg", tarfile.CHRTYPE, devmajor=1, devminor=3)]
    yield "pax_path", [info_of("a.jpg", size=4, pax_headers={"path": up})]
    yield "directory", [info_of(f"{victim.parent}/new", tarfile.DIRTYPE)]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_nothing_is_written_outside_of_the_shards(tmp_path: Path) -> None:
    victims = tmp_path / "victims"
    victims.mkdir()
    victim = victims / "precious.jpg"
    victim.write_bytes(b"precious")
    sources = tmp_path / "sources"
    sources.mkdir()
    for name, members in traps(victim):
        with tarfile.open(sources / f"{name}.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for info in members:
                archive.addfile(info, io.BytesIO(b"evil"))
        with zipfile.ZipFile(sources / f"{name}.zip", "w") as zipped:
            for info in members:
                item = zipfile.ZipInfo(info.pax_headers.get("path", info.name))
                mode = 0o120777 if info.issym() or info.islnk() else 0o100644
                item.external_attr = mode << 16
                zipped.writestr(item, info.linkname if info.issym() else b"evil")
    before = tree(tmp_path)
    watched = Watched(tmp_path / "watched")
    script = (
        "import sys; from pathlib import Path\n"
        "from meanface.errors import UserError; from meanface.shards.split import split\n"
        "sources, shards = map(Path, sys.argv[1:])\n"
        "for source in sorted(sources.iterdir()):\n"
        "    made = shards / source.name\n"
        "    made.mkdir(parents=True)\n"
        "    try:\n"
        "        split(source, [made / 'tar'], [made / 'csv'],\n"
        "              suffixes=frozenset({'.jpg'}), max_bytes=100)\n"
        "        print(source.name)\n"
        "    except UserError: pass\n"
    )
    environment = {**os.environ, **watched.environment}
    environment["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", script, sources, tmp_path / "shards"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    # Members behind a link are files like any other: there is no link that they could follow.
    read_right = {"through_a_link", "onto_a_link", "onto_a_hard_link"}
    # The zip's device is a file: a zip has a file type only where the archiver put one in.
    wanted = {f"{name}.{kind}" for name in read_right for kind in ("tar", "zip")} | {"device.zip"}
    assert set(done.stdout.split()) == wanted
    assert tmp_path / "shards/through_a_link.tar/tar.part" in watched.changed
    assert watched.outside(tmp_path / "shards") == set()
    after = tree(tmp_path)
    new = {path for path in after if path.startswith((f"{tmp_path}/shards", f"{tmp_path}/watched"))}
    assert {path: what for path, what in after.items() if path not in new} == before


ODD_NAMES = [
    b"plain.jpg",
    b"two\nlines.jpg",
    b"return\r.jpg",
    b"a, b.jpg",
    b'"quoted".jpg',
    b"it's.jpg",
    b"=1+1.jpg",
    b"=cmd|' /C calc'!A0.jpg",
    b"+1.jpg",
    b"@SUM(A1).jpg",
    b"-rf.jpg",
    b"--config.jpg",
    b"{wildcards.shard}.jpg",
    b"{.jpg",
    b"%(name)s %s %n.jpg",
    b"$(touch touched); `touch touched` | touch touched.jpg",
    b"*.jpg",
    b"<script>alert(1)</script>.jpg",
    b"a\\b.jpg",
    b"C:\\x.jpg",
    b"not\xffutf8\xe9.jpg",
    b"escape\x1b[31m.jpg",
    b"tab\t.jpg",
    b" .jpg",
    b"NA",
    b"1e5",
    b"case.jpg",
    b"Case.jpg",
    "caf\u00e9.jpg".encode(),
    "cafe\u0301.jpg".encode(),
    "right\u202eto left.jpg".encode(),
    "\u0130\u00df\ufeff\U0001f600.jpg".encode(),
    b"x" * 251 + b".jpg",
    b"d/" * 300 + b"deep.jpg",
    b"...jpg",
]


def test_a_run_on_odd_names_reads_every_one_and_writes_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pictures and report make of such names is in test_report.py."""
    photo = io.BytesIO()
    Image.new("RGB", (1, 1)).save(photo, "BMP")
    source = tmp_path / "odd.tar.gz"
    source.write_bytes(gzip.compress(tar_bytes(*((name, photo.getvalue()) for name in ODD_NAMES))))
    watched = Watched(tmp_path / "watched")
    for name, value in watched.environment.items():
        monkeypatch.setenv(name, value)
    before = set(tmp_path.rglob("*"))
    run = snakemake(tmp_path / "run", photos=source, shards=2, encoder="stub")
    assert run.code == 0, run.output

    expected = sorted(
        # As read_members documents it: a byte that is not UTF-8 becomes \xHH.
        name.decode("utf-8", "backslashreplace")
        for name in ODD_NAMES
    )
    faces = pd.read_csv(run.results / "faces.csv", keep_default_na=False, dtype=str)
    assert faces["path"].tolist() == expected
    assert watched.outside(tmp_path / "run") == set()
    assert (tmp_path / "run/results/faces.csv.part").resolve() in watched.changed
    new = set(tmp_path.rglob("*")) - before
    places = (tmp_path / "run", watched.folder)
    assert [path for path in new if not any(map(path.is_relative_to, places))] == []
    assert not list(tmp_path.rglob("touched"))


@pytest.mark.parametrize(
    ("key", "limits"),
    [("max_ratio", {}), ("max_total_bytes", {"max_ratio": 10_000, "max_total_bytes": 3 * MB})],
)
def test_a_bomb_ends_a_run_with_one_line(key: str, limits: dict[str, int], tmp_path: Path) -> None:
    source = tmp_path / "bomb"
    files = [(f"{i}.jpg", bytes(MB)) for i in range(8)]
    source.write_bytes(zip_bytes(*files) if limits else gzip.compress(tar_bytes(*files)))
    settings = {"encoder": "stub", "shards": 1, "max_bytes": MB, **limits}
    run = snakemake(tmp_path / "run", photos=source, **settings)
    assert run.code != 0
    lines = [line for line in run.output.splitlines() if "if you trust it" in line]
    assert lines, run.output
    assert all(f"; if you trust it, raise {key} (details in" in line for line in lines)
    assert not list((run.results / "shards").glob("*"))
