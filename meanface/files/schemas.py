"""The tables of a run: the columns of each, in order, and the type of each column.

Writers and readers share these schemas. An empty field is a missing value.
"""

from collections.abc import Mapping
from typing import TypeAlias

Type: TypeAlias = type[str] | type[int] | type[float]
Schema: TypeAlias = Mapping[str, Type]
"""Maps each column to its type, in the order of the columns."""

# What the engine tells of one face, and of a photo without an embedding.
FACE: Schema = {
    "faces": int,
    "left": int,
    "top": int,
    "right": int,
    "bottom": int,
    "score": float,
    "detector": str,
}
FAILURE: Schema = {"reason": str, "detail": str}

# results/shards/*.csv, contents/*.csv, plan/duplicates.csv, plan/shards.csv, encoded/*.csv
MANIFEST: Schema = {"path": str, "size": int, "sha256": str}
CONTENTS: Schema = {"shard": str, "sha256": str}
PLAN: Schema = {"shard": str, "contents": int, "name": str}
OUTCOMES: Schema = {"sha256": str, **FACE, "angle": float, **FAILURE}

# results/faces.csv, failures.csv, identities.csv
FACES: Schema = {
    "path": str,
    "identity": str,
    **FACE,
    "shard": str,
    "distance": float,
    "duplicate_of": str,
    "angle": float,
}
FAILURES: Schema = {"path": str, **FAILURE, "shard": str}
IDENTITIES: Schema = {"identity": str, "photos": int, "spread": float, "distance": float}

# results/excluded.csv
EXCLUDED: Schema = {"line": int, "kind": str, "photos": int}

# results/comparison.csv
COMPARISON: Schema = {
    "measure": str,
    "value": float,
    "low": float,
    "high": float,
    "p_value": float,
}

# results/verification.csv
VERIFICATION: Schema = {
    "group": str,
    "threshold": float,
    "false_matches": int,
    "fmr": float,
    "fmr_low": float,
    "fmr_high": float,
    "false_non_matches": int,
    "fnmr": float,
    "fnmr_low": float,
    "fnmr_high": float,
}

# results/people.csv
PEOPLE: Schema = {
    "path": str,
    "face": int,
    "person": int,
    "size": int,
    "cohesion": float,
    "medoid": int,
}

# results/find.csv
FIND: Schema = {
    "query": str,
    "query_face": int,
    "rank": int,
    "path": str,
    "face": int,
    "identity": str,
    "person": int,
    "distance": float,
    "fmr": float,
    "person_rank": int,
}

# results/audit.csv
AUDIT: Schema = {
    "kind": str,
    "rank": int,
    "path": str,
    "face": int,
    "identity": str,
    "other_path": str,
    "other_face": int,
    "other_identity": str,
    "distance": float,
    "score": float,
}

# results/accuracy/roc.csv, pictures/settling.csv
ROC: Schema = {"threshold": float, "false_positive_rate": float, "true_positive_rate": float}
SETTLING: Schema = {"faces": int, "distance": float, "chance": float}

MEANINGS: Mapping[str, tuple[Schema, Mapping[str, str]]] = {
    "faces.csv": (
        FACES,
        {
            "path": "the photo",
            "identity": "the person: the name of the photo's folder, empty for a photo in no folder"
            " of its source. The name is in Unicode's form NFC",
            "faces": "faces that the detector saw in the photo; with `hog: quick` and"
            " `face: central`, bystanders may be left out",
            "left": "the left edge of the face's box",
            "top": "the top edge of the box",
            "right": "the right edge of the box",
            "bottom": "the bottom edge of the box",
            "score": "how certain the detector is; HOG and CNN score on different scales",
            "detector": "the detector that found the face, such as `hog@0`",
            "shard": "the shard that holds the photo; the names of its logs in"
            " `results/logs/encode/` begin with the shard",
            "distance": "the distance of the embedding to the mean",
            "duplicate_of": "the first photo with the same content, empty if there is none",
            "angle": "degrees by which the face is turned counterclockwise in the photo, from -180"
            " to 180",
        },
    ),
    "failures.csv": (
        FAILURES,
        {
            "path": "the photo",
            "reason": "why the photo failed; the [README](../../README.md#why-a-photo-failed)"
            " lists the reasons",
            "detail": "the details for a person to read",
            "shard": "the shard that holds the photo",
        },
    ),
    "identities.csv": (
        IDENTITIES,
        {
            "identity": "the person; empty for photos in no folder",
            "photos": "rows of `faces.parquet` that count for this person",
            "spread": "the root mean square of the distances of the person's embeddings to the"
            " person's mean, 0 for one photo",
            "distance": "the distance of the person's mean to the mean of all embeddings",
        },
    ),
    "excluded.csv": (
        EXCLUDED,
        {
            "line": "the number of the line in the file, counted from 1",
            "kind": "what the line named: `path`, `identity` or `sha256`; empty for no photo",
            "photos": "the photos that the line excluded",
        },
    ),
    "verification.csv": (
        VERIFICATION,
        {
            "group": "the group of `groups`; empty for all photos",
            "threshold": "two photos match if their distance is below this threshold",
            "false_matches": "pairs of two persons that match",
            "fmr": "the false match rate: the share of the pairs of two persons that match",
            "fmr_low": "the lower end of the interval of 95 % of `fmr`",
            "fmr_high": "the upper end",
            "false_non_matches": "pairs of one person that do not match",
            "fnmr": "the false non-match rate: the share of the pairs of one person that do not"
            " match",
            "fnmr_low": "the lower end of the interval of 95 % of `fnmr`",
            "fnmr_high": "the upper end",
        },
    ),
    "comparison.csv": (
        COMPARISON,
        {
            "measure": "the name of the measure",
            "value": "the value",
            "low": "the lower end of the interval of 95 %, empty without an interval",
            "high": "the upper end",
            "p_value": "the share of permutations of persons with at least this value, empty"
            " without a test",
        },
    ),
    "people.csv": (
        PEOPLE,
        {
            "path": "the photo",
            "face": "the number of the face in the photo, from 1, in the order of `faces.parquet`",
            "person": "the person, from 1; person 1 has the most faces",
            "size": "the number of the person's faces",
            "cohesion": "the root mean square distance of the face to the other faces of the"
            " person, 0 for one face; identical faces count once",
            "medoid": "1 for the face of the person with the least `cohesion`, else 0",
        },
    ),
    "audit.csv": (
        AUDIT,
        {
            "kind": "what may be wrong, see [People](../people.md#look-for-errors)",
            "rank": "1 for the strongest finding of its kind",
            "path": "the photo",
            "face": "the number of the face in the photo, from 1, in the order of `faces.parquet`",
            "identity": "the person by the name of the photo's folder, empty for none",
            "other_path": "the photo that the finding compares with",
            "other_face": "the number of the face in the other photo",
            "other_identity": "the person of the other photo",
            "distance": "the distance of the two faces",
            "score": "the strength of the finding; each kind has its own scale",
        },
    ),
    "find.csv": (
        FIND,
        {
            "query": "the query photo",
            "query_face": "the number of the face in the query photo, from 1",
            "rank": "1 for the face that is nearest to the query face, 2 for the next",
            "path": "the photo found",
            "face": "the number of the face in that photo, from 1, in the order of `faces.parquet`",
            "identity": "the person by the name of the photo's folder, empty for none",
            "person": "the person in `people.csv`, 0 where there is no `people.csv`",
            "distance": "the distance of the two faces",
            "fmr": "the false match rate at this distance: the share of pairs of two persons that"
            " are as near",
            "person_rank": "1: the nearest face of the nearest person, 2: of the second person, and"
            " so on; 0: every other face",
        },
    ),
}
"""The tables for users: their columns, and what each column means, for the documentation."""
