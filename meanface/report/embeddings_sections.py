"""Sections of the report on embeddings: suspects, distances, extremes, the appendix."""

from typing import Any

import numpy as np
import pandas as pd

from meanface.report.charts import Chart, Tick, curves, histogram, powers, round_step
from meanface.report.pairs import between, distances, nearest_between, within
from meanface.report.results import Results, percent
from meanface.report.selection import counted, extremes, sample_of
from meanface.results.settling import settling_curve

Section = dict[str, Any]

THRESHOLD = 0.6  # the distance below which dlib's examples call two faces one person
PAIRS = 500_000  # pairs in a histogram
COMPARED = 5_000  # faces among which the nearest of two people are looked for
SUSPECTS, COPIES, EXTREMES, ODD = 12, 12, 12, 8  # shown


def suspects_section(results: Results) -> Section:
    """Show the nearest faces of two people, and photos that are copies of others."""
    faces, names = results.faces, results.names()
    people = faces["identity"]
    different = faces[faces["duplicate_of"] == ""]
    rows = different.index.to_numpy()[sample_of(different["path"].tolist(), COMPARED)]
    found = nearest_between(results.embeddings, people, rows, SUSPECTS)
    copies = faces[faces["duplicate_of"] != ""].drop_duplicates("path")
    title = "No two people to compare"
    if found:
        title = f"The nearest two faces with different names lie {found[0][2]:.2f} apart"
    copied = copies["duplicate_of"].head(COPIES)
    row_of = pd.Series(different.index, index=different["path"]).groupby(level=0).first()
    firsts = [int(row_of[path]) for path in copied]
    return {
        "title": title,
        "shown": [*(row for *pair, _ in found for row in pair), *copied.index, *firsts],
        "pairs": [
            {
                "distance": distance,
                "faces": results.show(names, pair, [names.person(people[row]) for row in pair]),
            }
            for *pair, distance in found
        ],
        "near": sum(distance < THRESHOLD for *_, distance in found),
        "compared": len(rows),
        "total": results.different(),
        "copies": [
            results.show(names, pair, ["the first", "a copy"])
            for pair in zip(firsts, copied.index.tolist(), strict=True)
        ],
        "all_copies": results.copies(),
    }


def distances_section(results: Results) -> Section | None:
    """Compare the distances within people with those between people."""
    faces = results.sample()
    faces = faces[faces["duplicate_of"] == ""]
    groups = {}
    same, different = (find(faces["identity"], PAIRS) for find in (within, between))
    if len(same.first):
        groups["one person"] = distances(results.embeddings, same)
    if len(different.first):
        groups["two people"] = distances(results.embeddings, different)
    if not groups:
        # No folder names a person, so every face counts as a person of its own.
        everybody = between(faces["path"] + "\n" + faces.index.astype(str), PAIRS)
        if not len(everybody.first):
            return None
        groups["any two faces"] = distances(results.embeddings, everybody)
    own, others = groups.get("one person"), groups.get("two people")
    said = []
    if own is not None:
        missed = percent((own >= THRESHOLD).sum(), len(own))
        said.append(f"{missed} of the pairs of one person are farther apart")
    if others is not None:
        wrong = percent((others < THRESHOLD).sum(), len(others))
        said.append(f"{wrong} of the pairs of two people are nearer")
    title = f"At {THRESHOLD}, {', and '.join(said)}"
    if not said:
        title = f"Half of all pairs of faces lie {np.median(groups['any two faces']):.2f} apart"
    return {
        "title": title,
        "chart": histogram(
            groups,
            bins=60,
            x_label="distance of two faces (no unit)",
            y_label="pairs, % of each kind",
            marks=[Tick(THRESHOLD, str(THRESHOLD))],
            shares=True,
        ),
        "counts": {name: len(values) for name, values in groups.items()},
        "is_sample": results.drawn is not None or max(same.total, different.total) > PAIRS,
        "table": [
            (
                f"{threshold:.2f}",
                "" if own is None else percent((own >= threshold).sum(), len(own)),
                "" if others is None else percent((others < threshold).sum(), len(others)),
            )
            for threshold in (0.4, 0.45, 0.5, 0.55, 0.6, 0.65)
        ]
        if said
        else [],
    }


def extremes_section(results: Results) -> Section:
    """Show the faces nearest to the mean and farthest from it."""
    names = results.names()
    away = counted(results.sample(), results.deduplicate)["distance"].to_numpy()
    low, median, high = np.quantile(away, [0.05, 0.5, 0.95])
    near, far = extremes(results.faces, EXTREMES)
    groups = [
        (title, results.show(names, rows.index.tolist(), [f"{d:.3f}" for d in rows["distance"]]))
        for title, rows in (("Nearest to the mean", near), ("Farthest from the mean", far))
    ]
    title = (
        f"Half of the faces lie within {median:.2f} of the mean,"
        f" nine in ten between {low:.2f} and {high:.2f}"
    )
    return {
        "title": title if away.any() else "Every face lies at the mean",
        "shown": [*near.index, *far.index],
        "groups": groups,
        "chart": histogram(
            {"faces": away},
            bins=min(60, max(10, int(len(away) ** 0.5))),
            x_label="distance of a face to the mean (no unit)",
            y_label="faces",
            marks=[Tick(float(median), "median")],
        ),
    }


def odd_section(results: Results) -> Section:
    """Show the smallest, the least certain and the most tilted faces."""
    names = results.names()
    faces = results.faces[results.faces["duplicate_of"] == ""]
    side = 1 + pd.DataFrame(
        {"width": faces["right"] - faces["left"], "height": faces["bottom"] - faces["top"]}
    ).min(axis=1)
    groups = [("Smallest", side.nsmallest(ODD), "{:.0f} pixels")]
    # HOG and CNN score on different scales.
    for kind, scores in faces["score"].groupby(faces["detector"].str.partition("@")[0]):
        groups.append((f"Least certain, by {kind}", scores.nsmallest(ODD), "score {:.2f}"))
    if "angle" in faces:
        tilted = faces["angle"].reindex(faces["angle"].abs().nlargest(ODD).index)
        groups.append(("Most tilted", tilted, "{:.0f} degrees"))
    return {
        "title": f"The smallest face is {side.min():.0f} pixels wide",
        "shown": [row for _, some, _ in groups for row in some.index],
        "groups": [
            (title, results.show(names, some.index.tolist(), [text.format(one) for one in some]))
            for title, some, text in groups
        ],
    }


def settling_chart(results: Results) -> Chart | None:
    """Draw how the mean settles as faces are added; None for fewer than three faces."""
    rows = counted(results.sample(), results.deduplicate).index.to_numpy()
    curve = settling_curve(results.embeddings, rows, results.statistics, most=100_000, points=100)
    curve = curve[(curve["faces"] < results.statistics.count) & (curve["distance"] > 0)]
    if len(curve) < 2:
        return None
    x = np.log10(curve["faces"])
    both = curve[["distance", "chance"]]
    return curves(
        {
            "measured": (x, np.log10(curve["distance"])),
            "expected by chance": (x, np.log10(curve["chance"])),
        },
        x_label="faces, in random order (log scale)",
        y_label="distance to the mean of all (log scale)",
        x_ticks=powers(1, float(curve["faces"].max())),
        y_ticks=powers(float(both.min().min()), float(both.max().max())),
    )


def dimensions_chart(results: Results) -> Chart:
    """Draw the 128 means."""
    mean = results.statistics.mean
    top = float(np.abs(mean).max())
    step = round_step(top / 2) if top else 1.0
    ends = int(np.ceil(top / step)) or 1
    return curves(
        {"mean": (np.repeat(np.arange(len(mean) + 1), 2)[1:-1], np.repeat(mean, 2))},
        x_label="place in the embedding",
        y_label="mean",
        x_ticks=[Tick(at, str(at)) for at in range(0, len(mean) + 1, 32)],
        y_ticks=[Tick(i * step, f"{i * step:g}") for i in range(-ends, ends + 1)],
    )
