"""The section of the report on what the target audit found."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from meanface.report.results import Results
from meanface.wording import number_of

SHOWN = 8  # findings of a kind


class Kind(NamedTuple):
    """A kind of finding: title for one and for several, what to think of it, what a score says."""

    one: str
    several: str
    meaning: str
    note: str


KINDS: Mapping[str, Kind] = {
    "other_identity": Kind(
        "1 face is nearer to another name than to its own",
        "{:,} faces are nearer to another name than to their own",
        "The name is wrong, or two people look alike. The second face is the nearest of the other"
        " name.",
        "{score:.2f} times as far from its own name as from the other",
    ),
    "one_person": Kind(
        "1 pair of names may be one person",
        "{:,} pairs of names may be one person",
        "The faces of both names are as near as those of one person. The two nearest are shown.",
        "{distance:.3f} apart",
    ),
    "near_duplicate": Kind(
        "1 pair of photos shows the same shot",
        "{:,} pairs of photos show the same shot",
        "One photo is a copy of the other that was resized, compressed again, cropped or mirrored,"
        " or the same file under another name.",
        "correlation of the pixels {score:.2f}",
    ),
    "two_in_photo": Kind(
        "1 face is beside another face that fits the name better",
        "{:,} faces are beside another face that fits the name better",
        "The first face is a bystander. The second is the other face of the photo.",
        "{score:.2f} times as far from the name as the other face",
    ),
    "unlike_all": Kind(
        "1 face is unlike all others",
        "{:,} faces are unlike all others",
        "Such a face is often no face, a very bad picture of one, or a person who is in no other"
        " photo. The second face is the nearest.",
        "{distance:.3f} apart",
    ),
}


def audit_section(results: Results) -> dict[str, Any] | None:
    """Show the strongest findings of each kind; None where the target audit did not run."""
    if results.audit is None:
        return None
    summary = results.audit.summary
    kinds = [
        _findings(results, kind, results.audit.table[results.audit.table["kind"] == kind])
        for kind in KINDS
        if summary["findings"].get(kind)
    ]
    told = "; ".join(kind["title"] for kind in kinds[:2])
    looked = number_of(summary["faces"], "face")
    return {
        "title": told or f"The audit of {looked} found nothing to look at",
        "faces": summary["faces"],
        "compared_pixels": "near_duplicate" in summary["findings"],
        "shown": [row for kind in kinds for row in kind["rows"]],
        "kinds": kinds,
    }


def _findings(results: Results, kind: str, table: pd.DataFrame) -> dict[str, Any]:
    text, names, first = KINDS[kind], results.names(), table.head(SHOWN)
    rows, others = (
        results.rows_of(zip(first[path], first[face], strict=True))
        for path, face in (("path", "face"), ("other_path", "other_face"))
    )
    identities = zip(first["identity"], first["other_identity"], strict=True)
    return {
        "title": text.one if len(table) == 1 else text.several.format(len(table)),
        "meaning": text.meaning,
        "left_out": len(table) - len(first),
        "rows": [*rows, *others],
        "findings": [
            {
                "note": text.note.format(distance=distance, score=score),
                "faces": results.show(names, pair, [names.person(name) for name in both]),
            }
            for pair, both, distance, score in zip(
                zip(rows, others, strict=True),
                identities,
                first["distance"],
                first["score"],
                strict=True,
            )
        ],
    }
