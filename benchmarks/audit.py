"""Measures `audit` on photos of named persons with planted errors, whose truth is known.

python -m benchmarks.audit --photos lfw.tgz --cores 2

* Wrong names: 2 % of the photos of persons with 3 photos or more are given to another such person.
* Near-duplicates: copies of 100 photos each, at half the size, at JPEG quality 40, cropped by 5 %
  of each side, and mirrored.

The wrong names are looked for among as many findings of the kind other_identity as were planted. A
set has wrong names and near-duplicates of its own: findings that were not planted are listed, for a
person to judge.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from meanface.files.schemas import AUDIT
from meanface.files.tables import read_table

ROOT = Path(__file__).parents[1]
COPIES = 100  # of each kind


def _cropped(photo: Image.Image) -> Image.Image:
    x, y = round(photo.width * 0.05), round(photo.height * 0.05)
    return photo.crop((x, y, photo.width - x, photo.height - y))


KINDS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "half": (lambda photo: photo.resize((photo.width // 2, photo.height // 2)), 90),
    "quality40": (lambda photo: photo, 40),
    "cropped": (_cropped, 90),
    "mirrored": (ImageOps.mirror, 90),
}
"""How a copy is made of a photo, and the quality of its JPEG."""


def read_photos(archive: Path) -> dict[str, bytes]:
    """Give the photos of a tar, by path."""
    photos = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".jpg") and (file := tar.extractfile(member)):
                photos[member.name] = file.read()
    return dict(sorted(photos.items()))


def plant(photos: dict[str, bytes], folder: Path, seed: int) -> tuple[set[str], dict[str, str]]:
    """Write the photos and the planted errors into a folder.

    Returns the paths with a wrong name, and for each copy the path of its original.
    """
    rng = np.random.default_rng(seed)
    paths = pd.Series([*photos])
    names = paths.map(lambda path: PurePosixPath(path).parent.name)
    several = names[names.map(names.value_counts()) >= 3]
    wrong = rng.choice(several.index, round(0.02 * len(several)), replace=False)
    moved = {}
    for row in wrong:
        others = sorted(set(several) - {names[row]})
        moved[paths[row]] = f"{rng.choice(others)}/{PurePosixPath(paths[row]).name}"
    for path, data in photos.items():
        _write(folder / moved.get(path, "/".join(PurePosixPath(path).parts[-2:])), data)
    rest = paths.drop(wrong).to_numpy()
    chosen = rng.choice(rest, COPIES * len(KINDS), replace=False)
    copies = {}
    for number, path in enumerate(chosen.tolist()):
        kind = [*KINDS][number % len(KINDS)]
        make, quality = KINDS[kind]
        original = PurePosixPath(*PurePosixPath(path).parts[-2:])
        copy = original.with_stem(f"{original.stem}_{kind}")
        with Image.open(io.BytesIO(photos[path])) as photo:
            stream = io.BytesIO()
            make(photo.convert("RGB")).save(stream, "JPEG", quality=quality)
        _write(folder / copy, stream.getvalue())
        copies[str(copy)] = str(original)
    return set(moved.values()), copies


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def score(table: pd.DataFrame, wrong: set[str], copies: dict[str, str]) -> None:
    """Print how many of the planted errors were found."""
    labels = table[table["kind"] == "other_identity"].nsmallest(len(wrong), "rank")
    found = set(labels["path"]) & wrong
    print(
        f"wrong names: {len(found)} of {len(wrong)} planted among the first {len(labels)} findings;"
        f" {(table['kind'] == 'other_identity').sum()} findings in all"
    )
    print(f"  not planted: {sorted(set(labels['path']) - wrong)}")
    pairs = {
        frozenset(pair)
        for pair in table.loc[table["kind"] == "near_duplicate", ["path", "other_path"]].to_numpy()
    }
    planted = {frozenset(pair): pair[0] for pair in copies.items()}
    print(f"near-duplicates: {len(pairs & set(planted))} of {len(planted)} planted")
    for kind in KINDS:
        of_kind = {pair for pair, copy in planted.items() if f"_{kind}." in copy}
        print(f"  {kind}: {len(pairs & of_kind)} of {len(of_kind)}")
    print(f"  not planted: {sorted(sorted(pair) for pair in pairs - set(planted))}")
    print(table["kind"].value_counts().to_string())


def main() -> None:
    """Plant the errors, run the workflow, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photos", type=Path, default=ROOT.parent / "shared/lfw/lfw-subset.tgz", help="a tar"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", default="2")
    parser.add_argument("--folder", type=Path, help="keeps photos and results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        wrong, copies = plant(read_photos(given.photos), folder / "photos", given.seed)
        (folder / "truth.json").write_text(json.dumps([sorted(wrong), copies]))
        command = [sys.executable, "-m", "snakemake", "--cores", given.cores, "audit"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
        subprocess.run([*command, "--config", f"photos={folder / 'photos'}"], check=True)
        score(read_table(folder / "results/audit.csv", AUDIT), wrong, copies)


if __name__ == "__main__":
    main()
