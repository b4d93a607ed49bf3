"""The tables of a run: the columns of each, in order, and the type of each column.

Writers and readers share these schemas. An empty field is a missing value.
"""

from collections.abc import Mapping
from typing import TypeAlias

Type: TypeAlias = type[str] | type[int] | type[float]
Schema: TypeAlias = Mapping[str, Type]
"""The type of each column by its name; the order is that of the columns."""

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
OUTCOMES: Schema = {"sha256": str, **FACE, **FAILURE}

# results/faces.csv, failures.csv, identities.csv
FACES: Schema = {
    "path": str,
    "identity": str,
    **FACE,
    "shard": str,
    "distance": float,
    "duplicate_of": str,
}
FAILURES: Schema = {"path": str, **FAILURE, "shard": str}
IDENTITIES: Schema = {"identity": str, "photos": int, "spread": float, "distance": float}

# results/accuracy/roc.csv, pictures/settling.csv
ROC: Schema = {"threshold": float, "false_positive_rate": float, "true_positive_rate": float}
SETTLING: Schema = {"faces": int, "distance": float, "chance": float}
