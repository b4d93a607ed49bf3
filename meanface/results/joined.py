"""The tables of all shards joined, on disk: photos, faces and failures, each checked once.

After `join_shards`, the scratch database has:

* `photos`: a row per photo, with the number of its shard.
* `faces`: a row per face of a content; `face` numbers the embeddings of all shards.
* `contents`: the first shard and the first path of each content.
* `sorted`: a row per face of a photo, by path; its row id is its position.
* `failed`: the table FAILURES, in no order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meanface.errors import AccountingError
from meanface.files.schemas import MANIFEST
from meanface.files.scratch import Scratch
from meanface.files.tables import read_tables
from meanface.results.accounting import check_accounts
from meanface.results.outcomes import read_tables_of_outcomes

# In binary, a sha256 takes half the room.
_BINARY = "* REPLACE (unhex(sha256) AS sha256)"
# What each content is expected to have: an outcome of the first shard that holds the content.
_CONTENTS = """
    CREATE TABLE contents AS
    SELECT sha256, min(number) AS number, min(path) AS first, count(*) AS photos
    FROM photos WHERE sha256 <> '' GROUP BY sha256
"""
_OUTCOMES = """
    CREATE TABLE outcomes AS
    SELECT DISTINCT sha256, number, TRUE AS encoded FROM faces
    UNION ALL SELECT sha256, number, FALSE FROM failures
"""
_FIRST_WRONG = """
    SELECT min(number) FROM (
        SELECT number FROM (
            SELECT sha256, number, 1 AS expected, 0 AS given FROM contents
            UNION ALL SELECT sha256, number, 0, 1 FROM outcomes
        ) GROUP BY sha256, number HAVING sum(expected) <> 1 OR sum(given) <> 1
    )
"""
_PATHS = """
    SELECT lower(hex(sha256)), first FROM contents
    WHERE number = ? OR sha256 IN (SELECT sha256 FROM outcomes WHERE number = ?)
"""
_FAILED = """
    CREATE VIEW failed AS
    SELECT path, reason, detail, shard FROM (
        SELECT path, reason, detail, photos.number FROM photos JOIN failures USING (sha256)
        UNION ALL
        SELECT path, 'too_large', size || ' bytes, more than max_bytes allows', number
        FROM photos WHERE sha256 = '' AND size > 0
        UNION ALL
        SELECT path, 'unreadable', 'the file could not be read, see the log of its shard job; '
            || '--forcerun acquire tries again', number
        FROM photos WHERE sha256 = '' AND size = 0
    ) JOIN shards USING (number)
"""
# One large join or sort in a statement, because each wants all the memory of the database.
_MATCHED = """
    CREATE TABLE matched AS SELECT path, photos.number AS shard, faces.* EXCLUDE (number)
    FROM photos JOIN faces USING (sha256)
"""
# The row id of a new table is the position of a row. `face` numbers the embeddings of all shards.
_SORTED = """
    CREATE TABLE sorted AS
    SELECT matched.* EXCLUDE (sha256, shard), shards.shard,
        CASE WHEN first IS NULL OR first = path THEN '' ELSE first END AS duplicate_of
    FROM matched LEFT JOIN copied USING (sha256) JOIN shards ON matched.shard = shards.number
    ORDER BY path, face
"""
# The contents of several photos.
_COPIED = """
    CREATE TABLE copied AS SELECT sha256, first FROM contents WHERE photos > 1
"""


@dataclass(frozen=True)
class ShardFiles:
    """The files of one shard: what the stages shard and encode wrote."""

    manifest: Path
    embeddings: Path
    outcomes: Path


def join_shards(tables: Scratch, shards: Sequence[ShardFiles]) -> NDArray[np.int64]:
    """Join the tables of all shards. Give the number of faces by shard.

    Raises AccountingError where a photo is lost or counted twice.
    """
    in_shard = _load(tables, shards)
    _check_outcomes(tables, shards)
    tables.run(_FAILED)
    tables.run(_COPIED)
    tables.run(_MATCHED)
    tables.run(_SORTED)
    tables.run("DROP TABLE matched")
    return in_shard


def _load(tables: Scratch, shards: Sequence[ShardFiles]) -> NDArray[np.int64]:
    """Make the tables shards, photos, faces and failures. Give the number of faces by shard."""
    stems = [shard.manifest.stem for shard in shards]
    numbers = range(len(shards))
    tables.append("shards", pa.table({"number": numbers, "shard": pa.array(stems, pa.string())}))
    for photos in read_tables([shard.manifest for shard in shards], MANIFEST):
        tables.append("photos", photos, _BINARY)
    in_shard = np.zeros(len(shards), np.int64)
    for faces, failures in read_tables_of_outcomes([shard.outcomes for shard in shards]):
        before = in_shard.sum()
        in_shard += np.bincount(faces["number"], minlength=len(shards))
        face = pa.array(np.arange(before, in_shard.sum()))
        tables.append("faces", faces.append_column("face", face), _BINARY)
        tables.append("failures", failures, _BINARY)
    return in_shard


def _check_outcomes(tables: Scratch, shards: Sequence[ShardFiles]) -> None:
    """Check that every content has one outcome, in the first shard that holds the content."""
    twice = "SELECT min(path) FROM (SELECT path FROM photos GROUP BY path HAVING count(*) > 1)"
    if path := tables.rows(twice)[0][0]:
        raise AccountingError(f"{path!r} is in two shards")
    tables.run(_CONTENTS)
    tables.run(_OUTCOMES)
    ((number,),) = tables.rows(_FIRST_WRONG)
    if number is None:
        return
    paths = dict(tables.rows(_PATHS, number, number))
    planned, encoded, failed = (
        [sha256 for (sha256,) in tables.rows(query, number)]
        for query in (
            "SELECT lower(hex(sha256)) FROM contents WHERE number = ?",
            "SELECT lower(hex(sha256)) FROM outcomes WHERE number = ? AND encoded",
            "SELECT lower(hex(sha256)) FROM outcomes WHERE number = ? AND NOT encoded",
        )
    )
    check_accounts(
        str(shards[number].outcomes), planned, encoded, failed, lambda one: paths.get(one, one)
    )
