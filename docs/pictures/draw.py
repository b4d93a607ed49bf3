"""Draw the pictures of the questions in the README, as small PNGs beside this file.

    snakemake --cores 2 pictures people audit
    python docs/pictures/draw.py results

The first command encodes the bundled sample, whose photos may be published (see sample/README.md).
For the audit, one photo gets another name here, and a face of the sample is searched for among the
other photos. Error rates and the comparison need many persons, so made-up embeddings of
benchmarks/persons.py take the place of the sample there. The same results give the same pictures.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.persons import synthetic_faces  # noqa: E402
from meanface.engine.decode import decode  # noqa: E402
from meanface.files.parquet import read_frame  # noqa: E402
from meanface.files.schemas import AUDIT, PEOPLE  # noqa: E402
from meanface.files.tables import read_table  # noqa: E402
from meanface.report.figures import (  # noqa: E402
    BLUE,
    GREY,
    VERMILLION,
    Tile,
    contact_sheet,
    new_figure,
    show_percent,
)
from meanface.report.pixels import around, faces_of, read_photos  # noqa: E402
from meanface.results.audit import Audit, Named  # noqa: E402
from meanface.results.comparison import discrepancy  # noqa: E402
from meanface.results.error_rates import ErrorRates  # noqa: E402
from meanface.results.false_matches import FalseMatches  # noqa: E402
from meanface.results.pair_counts import count_pairs  # noqa: E402

FOLDER = Path(__file__).parent
WIDTH = 640  # pixels of a picture
TILES = 8  # faces of a person
QUERY = "sample/Both/Both_0002.jpg"
WRONG = "sample/Grace_Hopper/Grace_Hopper_0006.jpg", "Eileen_Collins"  # a photo, its wrong name


def save(image: Image.Image, name: str) -> None:
    """Write a picture, scaled to WIDTH, in 128 colours."""
    small = image.convert("RGB")
    small = small.resize((WIDTH, small.height * WIDTH // small.width), Image.Resampling.LANCZOS)
    small.quantize(128, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def save_figure(figure: Figure, name: str) -> None:
    """Write a figure."""
    drawn = FOLDER / f"{name}.png"
    figure.savefig(drawn, dpi=160)
    with Image.open(drawn) as image:
        save(image, name)


def squares_of(results: Path, faces: pd.DataFrame) -> dict[int, NDArray[np.uint8]]:
    """Give the square around each face, by row number."""
    tars = {tar.stem: tar for tar in (results / "shards").glob("*.tar")}
    squares = {}
    for path, data in read_photos(faces, tars):
        rows = faces[faces["path"] == path]
        pixels = decode(data, "full", 50_000_000)
        for index, face in zip(rows.index, faces_of(rows), strict=True):
            squares[index] = around(pixels, face, 160)
    return squares


def people(results: Path) -> Figure:
    """Show the faces of each person that was found, those with two faces or more."""
    found = read_table(results / "people.csv", PEOPLE)
    faces = read_frame(results / "faces.parquet")
    persons = [rows for _, rows in found[found["size"] > 1].groupby("person")]
    wanted = faces.loc[[index for rows in persons for index in rows.index[:TILES]]]
    squares = squares_of(results, wanted)
    sections = {
        f"person {rows['person'].iloc[0]}: {len(rows)} faces": [
            Tile(squares[index], []) for index in rows.index[:TILES]
        ]
        for rows in persons
    }
    title = f"{found['person'].nunique()} persons in {len(found)} faces, found without names"
    return contact_sheet(title, sections, columns=TILES)


def row_of_faces(title: str, squares: Iterable[NDArray[np.uint8]], labels: Sequence[str]) -> Figure:
    """Show faces side by side, each with a label of two lines above."""
    figure = new_figure(title, height=1.9)
    for axes, square, label in zip(figure.subplots(1, len(labels)), squares, labels, strict=True):
        axes.imshow(square)
        axes.set_title(label, fontsize=8.5, loc="center")
        axes.set_axis_off()
    return figure


def find(results: Path) -> Figure:
    """Show a face, and the nearest faces of other photos."""
    faces = read_frame(results / "faces.parquet")
    vectors = np.load(results / "embeddings.npy", allow_pickle=False).astype(np.float64)
    query = faces.index[faces["path"] == QUERY][0]
    away = pd.Series(np.linalg.norm(vectors - vectors[query], axis=1)).drop(query)
    # The sample holds some photos in several formats; one of each is enough here.
    near = away[~away.round(1).duplicated()].nsmallest(5)
    rates = FalseMatches.measured()
    squares = squares_of(results, faces.loc[[query, *near.index]])
    odds = [f"1 in {1 / rates.rate(length):,.0f}" for length in near]
    labels = [f"{length:.2f}\n{one_in}" for length, one_in in zip(near, odds, strict=True)]
    return row_of_faces(
        f"The nearest face lies {near.iloc[0]:.2f} from the query;"
        f" at most {odds[0]} pairs of two people is as near",
        [squares[row] for row in (query, *near.index)],
        ["the query\n", *labels],
    )


def audit(results: Path) -> Figure:
    """Show a wrong name, which is given here, and near-duplicates."""
    faces = read_frame(results / "faces.parquet")
    vectors = np.load(results / "embeddings.npy", allow_pickle=False)
    path, name = WRONG
    named = faces.assign(identity=faces["identity"].mask(faces["path"] == path, name))
    findings = Audit(Named.of(vectors, named), same_person=0.86).other_identity()
    (wrong,) = (one for one in findings if faces["path"][one.row] == path)
    found = read_table(results / "audit.csv", AUDIT)
    copies = found[found["kind"] == "near_duplicate"]
    row_of = pd.Series(faces.index, index=faces["path"]).groupby(level=0).first()
    rows = [wrong.row, wrong.other]
    labels = [
        f"the name says\n{name}",
        f"{wrong.distance:.2f} from\n{named['identity'][wrong.other]}",
    ]
    for copy in copies.tail(2).itertuples():
        rows += [row_of[copy.path], row_of[copy.other_path]]
        labels += ["one shot\n", f"twice,\nalike to {copy.score:.2f}"]
    squares = squares_of(results, faces.loc[rows])
    title = "A wrong name, and photos that show the same shot"
    return row_of_faces(title, [squares[row] for row in rows], labels)


def verify() -> Figure:
    """Draw the error rates of all pairs of made-up persons."""
    vectors, person = synthetic_faces(np.full(1500, 4))
    rates = ErrorRates(count_pairs(vectors, person.astype(np.intp)))
    curve, at = rates.curve(), rates.at(1e-3)
    missed = f"{100 * (at.fnmr or 0):.2g} % of pairs of one person are missed"
    figure = new_figure(f"At 1 false match in 1,000, {missed}", height=3)
    axes = figure.subplots()
    seen = (curve.fmr > 0) & (curve.fnmr > 0)
    low, high = curve.fnmr_interval[:, seen]
    axes.fill_between(curve.fmr[seen], low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.loglog(curve.fmr[seen], curve.fnmr[seen], color=BLUE, linewidth=2)
    axes.plot(at.fmr, at.fnmr, "o", color=VERMILLION)
    show_percent(axes)
    axes.set_ylim(bottom=float(curve.fnmr[seen].min()))
    axes.set_xlabel("false match rate: two persons match")
    axes.set_ylabel("one person does not match")
    return figure


def compare() -> Figure:
    """Draw how far two made-up sets differ, among the same persons mixed at random."""
    vectors, person = synthetic_faces(np.full(200, 4))
    is_first = person < 100
    shift = np.zeros(vectors.shape[1], dtype=np.float32)
    shift[:2] = 0.1
    sets = vectors[is_first], vectors[~is_first] + shift
    codes = person[is_first].astype(np.intp), person[~is_first].astype(np.intp)
    found = discrepancy(*sets, codes)
    figure = new_figure(f"The two sets differ: p = {found.p_value:.4f}", height=2.6)
    axes = figure.subplots()
    axes.hist(found.permuted, bins=30, color=GREY, alpha=0.6, label="persons mixed at random")
    axes.axvline(found.squared, color=VERMILLION, linewidth=2, label="the two sets")
    axes.set_yticks([])
    axes.set_xlabel("squared MMD: how far two sets differ")
    axes.legend()
    return figure


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("results", type=Path, help="results of the sample")
    results = parser.parse_args().results
    with Image.open(results / "pictures/failures.png") as image:
        save(image, "failed")
    save_figure(people(results), "people")
    save_figure(find(results), "find")
    save_figure(audit(results), "audit")
    save_figure(verify(), "verify")
    save_figure(compare(), "compare")


if __name__ == "__main__":
    main()
