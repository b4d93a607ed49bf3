"""Fuzzing of everything that reads files: damaged and made-up input, drawn by Hypothesis.

    python tests/fuzz/fuzz.py --minutes 20 archive      # one target, for so long (processor time)
    python tests/fuzz/fuzz.py --examples 50 archive     # so many inputs, always the same ones

Each input is a file as the project meets it, with some bytes changed, cut out, repeated or put in
from another. A target either raises what its docstring says or gives a result that is right as far
as that can be told. Anything else, more than two gigabytes of memory or a minute for one input is a
finding: it ends the process with status 1 and the input is printed and written to --keep.
"""

import argparse
import bz2
import gzip
import hashlib
import io
import logging
import lzma
import resource
import signal
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import hypothesis
import numpy as np
import pyarrow as pa
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from meanface.engine.face import Face  # noqa: E402
from meanface.engine.outcome import EncodedFace, Failure, Outcome  # noqa: E402
from meanface.errors import AccountingError, UserError  # noqa: E402
from meanface.files import schemas, tables  # noqa: E402
from meanface.results.cache import Cache  # noqa: E402
from meanface.results.outcomes import read_outcomes, read_tables_of_outcomes, write_outcomes  # noqa: E402
from meanface.shards.manifest import read_manifest  # noqa: E402
from meanface.shards.plan import contents_of, plan, read_plan, write_contents  # noqa: E402
from meanface.shards.read import read_shard  # noqa: E402
from meanface.shards.split import split  # noqa: E402
from meanface.sources.archive import read_members  # noqa: E402

MEMORY = 2 << 30  # bytes
SECONDS = 60  # of processor time for one input


@dataclass(frozen=True)
class Target:
    """What is fuzzed: real files, and what reads one and raises AssertionError if it does wrong.

    `check` gets the input and an empty folder.
    """

    seeds: list[bytes]
    check: Callable[[bytes, Path], None]


# --- the inputs ---------------------------------------------------------------------------------

ODD = [
    *(bytes([value]) for value in (0, 1, 0x7F, 0x80, 0xFF)),
    *(value.to_bytes(4, "little") for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
    *(value.to_bytes(4, "big") for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE)),
    (2**63 - 1).to_bytes(8, "little"),
    *(b"../", b"/", b"\n", b"\r", b'"', b",", b"-1", b"77777777777\0", b"nan", b"1e999", b"9" * 30),
    *(
        "\u202e".encode(),
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"PK\3\4",
        b"PK\1\2",
        b"ustar\0",
        b"\x88" * 9,
    ),
]


@st.composite
def inputs(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds, changed in up to eight places."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 1, 2, 4, 8, 100, 512)))
        end = start + length
        match draw(st.sampled_from(("bit", "odd", "random", "cut", "end", "repeat", "other"))):
            case "bit" if start < len(data):
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "odd":
                value = draw(st.sampled_from(ODD))
                data[start : start + draw(st.sampled_from((0, len(value))))] = value
            case "random":
                data[start:end] = draw(st.binary(max_size=8))
            case "cut":
                del data[start:end]
            case "end":
                del data[start:]
            case "repeat":
                data[start:start] = data[start:end] * draw(st.sampled_from((1, 2, 50)))
            case "other":
                other = draw(st.sampled_from(seeds))
                at = draw(st.integers(0, len(other)))
                data[start:end] = other[at : at + length]
    return bytes(data)


# --- archives -----------------------------------------------------------------------------------

NAMES = ["a.jpg", "b/c.jpg", "./d//e.jpg", 'b/\u00e9, "x"\n.jpg', "n" * 120 + ".jpg", "empty"]
CONTENTS = {name: name.encode() * 7 * i for i, name in enumerate(NAMES)}
MAX_BYTES, MAX_TOTAL = 1 << 16, 1 << 20


def tar_of(files: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("other" + kind.decode())
            info.type, info.linkname = kind, "a.jpg"
            archive.addfile(info)
    return stream.getvalue()


def sparse_tar() -> bytes:
    """A file with a hole, as GNU tar writes it in its old format."""
    info = tarfile.TarInfo("hole.jpg")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (1024, 512)
    header[483:495] = b"%011o\0" % 4096
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


def zip_of(files: dict[str, bytes], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def check_archive(data: bytes, folder: Path) -> None:
    source = folder / "source"
    source.write_bytes(data)
    total = 0
    members = read_members(
        source, Counter(), max_bytes=MAX_BYTES, max_total_bytes=MAX_TOTAL, max_ratio=10_000
    )
    try:
        for member in members:
            member.path.encode()
            assert member.path
            assert not {"", ".", ".."} & set(member.path.split("/"))
            assert "\0" not in member.path
            assert (member.data is None) == (member.size > MAX_BYTES)
            if member.data is not None:
                assert len(member.data) == member.size
                total += member.size
            assert total <= MAX_TOTAL
    except UserError as error:
        assert str(source) in str(error)
        assert "\n" not in str(error)
    assert list(folder.iterdir()) == [source]


def archives() -> Target:
    tars = [tar_of(CONTENTS), tar_of(CONTENTS, tarfile.PAX_FORMAT), sparse_tar()]
    packed = [compress(tars[1]) for compress in (gzip.compress, bz2.compress, lzma.compress)]
    packed.append(zstandard.ZstdCompressor(write_checksum=True).compress(tars[1]))
    # As Windows makes them: backslashes, and a field with the UTF-8 name.
    windows = zip_of({r"b\c.jpg": b"1"}, zipfile.ZIP_STORED).replace(
        b"PK\1\2\x14\3", b"PK\1\2\x14\0"
    )
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    zips = [zip_of(CONTENTS, method) for method in methods]
    return Target([*tars, *packed, *zips, windows], check_archive)


# --- photos -------------------------------------------------------------------------------------

MAX_PIXELS = 1 << 16


def check_photo(data: bytes, folder: Path) -> None:
    """Decoded, or a reason, in full as at a part; the same each time, whatever is mended."""
    from meanface.engine.decode import PhotoError, decode, decode_reduced
    from meanface.sources.formats import is_photo

    is_photo("x", data, frozenset())
    part: tuple[NDArray[np.uint8], int] | None = None
    with suppress(PhotoError):
        part = decode_reduced(data, "quick", MAX_PIXELS, 1)
    try:
        pixels = decode(data, "full", MAX_PIXELS)
    except PhotoError as error:
        assert error.reason in {"not_an_image", "truncated", "too_large", "unsupported"}
        assert error.detail
        assert "\n" not in error.detail
        assert part is None
    else:
        assert part is not None
        reduced, scale = part
        assert reduced.shape == (*(-(-side // scale) for side in pixels.shape[:2]), 3)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert pixels.size <= 3 * MAX_PIXELS


def photos() -> Target:
    from PIL import Image

    colours = np.random.default_rng(1).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    image, seeds = Image.fromarray(colours), []
    for kind, options in (
        *(("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"restart_marker_rows": 1})),
        *(("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {}), ("GIF", {}), ("BMP", {})),
        *(("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG2000", {}), ("PPM", {})),
    ):
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        seeds.append(stream.getvalue())
    seeds.append(seeds[3][:-12])  # a PNG without its end
    return Target([*seeds, *(seed[:-2] for seed in seeds[:3])], check_photo)


def tiles() -> NDArray[np.uint8]:
    """Blocks of colour, (32, 48, 3)."""
    colours = np.random.default_rng(1).integers(0, 256, (4, 6, 3))
    return colours.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def heics() -> Target:
    from tests.made_photos import heic, profile

    deep = tiles().astype(np.uint16) << 2
    p3 = profile("Display P3")
    seeds = [heic(tiles(), icc_profile=p3), heic(deep, 10), heic(tiles(), chroma=420)]
    seeds.append(heic(np.dstack([tiles(), tiles()[..., :1]]), quality=30))
    return Target(seeds, check_photo)


def jpeg_xls() -> Target:
    from tests.made_photos import jpeg_xl

    deep = tiles().astype(np.uint16) << 8
    seeds = [jpeg_xl(tiles()), jpeg_xl(deep, 16), jpeg_xl(tiles()[..., 0])]
    seeds += [jpeg_xl(tiles(), lossless=False, distance=1.0), jpeg_xl(tiles(), usecontainer=True)]
    return Target(seeds, check_photo)


def avifs() -> Target:
    from PIL import Image

    from tests.made_photos import profile, saved

    image = Image.fromarray(tiles())
    seeds = [saved(image, "AVIF"), saved(image, "AVIF", icc_profile=profile("Display P3"))]
    return Target([*seeds, saved(image.convert("RGBA"), "AVIF", quality=100)], check_photo)


def raws() -> Target:
    """Previews too small for a photo are searched for as well."""
    from PIL import Image

    from meanface.engine import raw_preview
    from tests.made_photos import RAWS, raw, saved

    raw_preview.LEAST = 1000
    jpeg = saved(Image.fromarray(tiles()), "JPEG")
    return Target([raw(kind, jpeg[:-300], jpeg, orientation=6) for kind in RAWS], check_photo)


def profiles() -> Target:
    """Photos with colour profiles."""
    from PIL import Image

    from tests.made_photos import SPACES, cmyk_profile, profile, saved

    image = Image.fromarray(tiles()[:8, :8])
    modes = {**dict.fromkeys(SPACES, "RGB"), "grey": "L"}
    seeds = [
        saved(image.convert(mode), "TIFF", icc_profile=profile(name))
        for name, mode in modes.items()
    ]
    seeds.append(saved(image.convert("CMYK"), "TIFF", icc_profile=cmyk_profile()))
    return Target(seeds, check_photo)


# --- shards and tables --------------------------------------------------------------------------


@cache
def shard() -> tuple[bytes, bytes]:
    """A tar and its manifest."""
    with tempfile.TemporaryDirectory() as name:
        source, tar, manifest = (Path(name) / part for part in ("source", "tar", "manifest"))
        source.write_bytes(tar_of(CONTENTS | {"large.jpg": bytes(MAX_BYTES + 1)}))
        split(source, [tar], [manifest], suffixes=frozenset({".jpg"}), max_bytes=MAX_BYTES)
        return tar.read_bytes(), manifest.read_bytes()


def check_manifest(data: bytes, folder: Path) -> None:
    (folder / "manifest").write_bytes(data)
    try:
        rows = read_manifest(folder / "manifest")
    except AccountingError as error:
        assert str(folder / "manifest") in str(error)
    else:
        paths = [row.path for row in rows]
        assert paths == sorted(set(paths))


PLANNED = [f"{name}.jpg,1,{name * 64}\n" for name in "abc"]


@cache
def plan_files() -> tuple[bytes, bytes]:
    """What two shards are to encode, and what not."""
    with tempfile.TemporaryDirectory() as name:
        manifests = [Path(name) / part for part in ("0.csv", "1.csv")]
        for manifest in manifests:
            manifest.write_text("".join(["path,size,sha256\n", *PLANNED]))
        paths = Path(name) / "shards", Path(name) / "duplicates"
        write_contents(manifests, Path(name) / "contents")
        plan([Path(name) / "contents"], *paths)
        shards, duplicates = (path.read_bytes() for path in paths)
        return shards, duplicates


def check_plan(data: bytes, folder: Path) -> None:
    (folder / "plan").write_bytes(data)
    with suppress(AccountingError):
        read_plan(folder / "plan")


def check_duplicates(data: bytes, folder: Path) -> None:
    manifest, duplicates = folder / "1.csv", folder / "duplicates"
    manifest.write_text("".join(["path,size,sha256\n", *PLANNED]))
    duplicates.write_bytes(data)
    try:
        contents = contents_of(manifest, duplicates)
    except AccountingError as error:
        assert str(duplicates) in str(error)
    else:
        assert contents == sorted(set(contents))
        assert set(contents) <= {name * 64 for name in "abc"}


def check_shard(manifest: bytes, data: bytes, folder: Path) -> None:
    (folder / "tar").write_bytes(data)
    (folder / "manifest").write_bytes(manifest)
    photos = {}
    try:
        for photo in read_shard(folder / "tar", folder / "manifest"):
            photos[photo.path] = photo.data
            assert hashlib.sha256(photo.data).hexdigest() == photo.sha256
    except AccountingError as error:
        assert str(folder / "tar") in str(error)
    else:
        assert (
            len(photos) == manifest.count(b"\n") - 3
        )  # header, the large one, a name of two lines


OUTCOMES: dict[str, Outcome] = {
    "0" * 64: [
        EncodedFace(
            2, Face(-3, 4, 90, 101, 1.5), "hog@0", -3.5, np.linspace(-1, 1, 128, dtype="f4")
        ),
        EncodedFace(2, Face(5, 6, 7, 8, 0.25), "hog@0", 0.0, np.linspace(1, -1, 128, dtype="f4")),
    ],
    "1" * 64: Failure("no_face", "none found by hog@0, cnn@1"),
    "2" * 64: Failure("error", 'ValueError: "x",\ny'),
}


@cache
def outcome_files() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / part for part in ("embeddings", "table")]
        write_outcomes(OUTCOMES, *paths)
        embeddings, table = (path.read_bytes() for path in paths)
        return embeddings, table


def check_outcomes(which: int, data: bytes, folder: Path) -> None:
    files = list(outcome_files())
    files[which] = data
    try:
        found = read_outcomes(*map(io.BytesIO, files))
    except ValueError:
        return
    for outcome in found.values():
        if not isinstance(outcome, Failure):
            assert all(face.embedding.shape == (128,) for face in outcome)
            assert all(np.isfinite(face.embedding).all() for face in outcome)


def check_table(data: bytes, folder: Path) -> None:
    source = folder / "outcomes.csv"
    source.write_bytes(data)
    try:
        both = list(read_tables_of_outcomes([source, source]))
    except AccountingError as error:
        assert str(source) in str(error)
    else:
        for found in map(pa.concat_tables, zip(*both, strict=True)):
            assert {*found.column_names} <= {*schemas.OUTCOMES, "number"}
            assert not sum(column.null_count for column in found.columns)
            half = len(found) // 2
            assert found["number"].to_pylist() == [0] * half + [1] * half
    with suppress(ValueError):
        tables.read_table(source, dict.fromkeys(schemas.OUTCOMES, str))


# --- the cache ----------------------------------------------------------------------------------

ENGINE, SHARD, OTHER = "a" * 64, "b" * 64, "c" * 64


@cache
def cache_files() -> tuple[bytes, bytes]:
    """A shard's file and the index."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / part for part in ("embeddings", "table")]
        write_outcomes(OUTCOMES, *paths)
        cache = Cache(f"{name}/cache", ENGINE)
        cache.keep(SHARD, *paths)
        cache.tidy({SHARD: list(OUTCOMES)}.items(), Path(name) / "index")
        folder = Path(name) / "cache" / ENGINE
        return (folder / f"{SHARD}.zip").read_bytes(), (folder / "index.npz").read_bytes()


def check_cache(data: bytes, folder: Path) -> None:
    """Either file damaged: what is recalled is true, found at once or by the index."""
    whole = cache_files()
    engine = folder / ENGINE
    engine.mkdir()
    for files in ((data, whole[1]), (whole[0], data)):
        for name, content in zip((f"{SHARD}.zip", "index.npz"), files, strict=True):
            (engine / name).write_bytes(content)
        for name in (SHARD, OTHER):
            recalled = Cache(str(folder), ENGINE).recall(name, OUTCOMES)
            for sha256, outcome in recalled.items():
                true = OUTCOMES[sha256]
                if isinstance(true, Failure):
                    assert outcome == true
                else:
                    assert not isinstance(outcome, Failure)
                    assert [str(face) for face in outcome] == [str(face) for face in true]


# --- dlib's models ------------------------------------------------------------------------------


def check_network(data: bytes, folder: Path) -> None:
    from meanface.engine.dlib_network import Reader, read_network
    from meanface.engine.export import export
    from meanface.engine.weights import WEIGHTS

    original = WEIGHTS["cnn"][0].read_bytes()
    if data == original:
        return
    path = folder / "weights.dat"
    path.write_bytes(data)
    kept = WEIGHTS["cnn"]
    WEIGHTS["cnn"] = (path, kept[1])
    try:
        export("cnn", folder / "cnn.onnx")
    except UserError as error:
        assert str(path) in str(error)
    else:
        raise AssertionError("exported what is not the published weights")
    finally:
        WEIGHTS["cnn"] = kept
    assert list(folder.iterdir()) == [path]
    # The parser behind that: no guarantee which of these it raises, but no hang and no flood.
    with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
        read_network(Reader(data))


def networks() -> Target:
    from meanface.engine.weights import WEIGHTS

    return Target([WEIGHTS["cnn"][0].read_bytes()], check_network)


def check_landmarks(data: bytes, folder: Path) -> None:
    from meanface.engine.export import export
    from meanface.engine.weights import WEIGHTS

    path = folder / "landmarks.dat"
    path.write_bytes(data)
    kept = WEIGHTS["landmarks68"]
    WEIGHTS["landmarks68"] = (path, kept[1])
    try:
        export("landmarks68", folder / "landmarks68.npy")
    except UserError as error:
        assert str(path) in str(error)
    else:
        raise AssertionError("exported what is not the published weights")
    finally:
        WEIGHTS["landmarks68"] = kept
    assert list(folder.iterdir()) == [path]


def landmark_files() -> Target:
    from meanface.engine.weights import WEIGHTS

    with WEIGHTS["landmarks68"][0].open("rb") as stream:
        return Target([stream.read(1 << 20)], check_landmarks)


TARGETS: dict[str, Callable[[], Target]] = {
    "archive": archives,
    "photo": photos,
    "heic": heics,
    "jpeg_xl": jpeg_xls,
    "avif": avifs,
    "raw": raws,
    "profile": profiles,
    "manifest": lambda: Target([shard()[1]], check_manifest),
    "plan": lambda: Target([plan_files()[0]], check_plan),
    "duplicates": lambda: Target([plan_files()[1]], check_duplicates),
    "shard": lambda: Target([shard()[0]], partial(check_shard, shard()[1])),
    "embeddings": lambda: Target([outcome_files()[0]], partial(check_outcomes, 0)),
    "outcomes": lambda: Target([outcome_files()[1]], partial(check_outcomes, 1)),
    "table": lambda: Target([outcome_files()[1]], check_table),
    "cache": lambda: Target([*cache_files()], check_cache),
    "network": networks,
    "landmarks": landmark_files,
}


# --- running ------------------------------------------------------------------------------------


def check(target: Target, data: bytes) -> None:
    """Try one input, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            target.check(data, Path(folder))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(target: Target, examples: int, seed: int, keep: Path | None) -> int:
    """Try so many inputs; give how many were tried. What a target does wrong is raised."""
    tried = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target.seeds))
    def run(data: bytes) -> None:
        nonlocal tried
        tried += 1
        try:
            check(target, data)
        except BaseException:
            if keep:
                keep.write_bytes(data)
            raise

    run()
    return tried


def too_long(*_: object) -> None:
    raise AssertionError(f"longer than {SECONDS} seconds")


def main(arguments: Iterable[str] | None = None) -> None:
    """Fuzz the targets that are asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"])
    parser.add_argument("--minutes", type=float, help="of processor time for each target")
    parser.add_argument("--examples", type=int, default=100, help="inputs in one round")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--keep", type=Path, help="a file for the input that does wrong")
    given = parser.parse_args(None if arguments is None else list(arguments))
    logging.disable()  # the cache tells of every file that it leaves out
    signal.signal(signal.SIGPROF, too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for name in TARGETS if "all" in given.targets else given.targets:
        target = TARGETS[name]()
        began, seed, tried = time.process_time(), given.seed, 0
        while True:
            tried += fuzz(target, given.examples, seed, given.keep)
            seed += 1
            minutes = (time.process_time() - began) / 60
            if minutes >= (given.minutes or 0):
                break
        print(f"{name}: {tried} inputs in {minutes:.1f} minutes, seeds {given.seed} to {seed - 1}")


if __name__ == "__main__":
    main()
