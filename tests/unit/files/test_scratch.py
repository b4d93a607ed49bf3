"""Tables on disk for one job: sorted, joined, and gone when the job ends."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from meanface.errors import AccountingError
from meanface.files.schemas import Schema
from meanface.files.scratch import scratch
from meanface.files.tables import write_table

SCHEMA: Schema = {"name": str, "count": int}


def test_text_is_sorted_by_code_points_and_an_empty_text_stays(tmp_path: Path) -> None:
    names = ["b", "", "é", "B", "\ufffd", "😀", "a\nb"]
    with scratch(tmp_path / "result") as tables:
        for some in (names[:0], names[:3], names[3:]):
            tables.append("names", pa.table({"name": pa.array(some, pa.large_string())}))
        found = [name for (name,) in tables.tuples("FROM names ORDER BY name")]
        (batch,) = tables.batches("FROM names ORDER BY name", 100)
    assert found == sorted(names) == batch["name"].to_pylist()


def test_csv_tables_are_read_in_the_order_of_their_rows(tmp_path: Path) -> None:
    rows = [("b", 2), ('"quoted", \n', 1), ("a", 3), ("NULL", -1)]
    sources = [tmp_path / f"{number}.csv" for number in range(3)]
    for source, some in zip(sources, (rows[:2], [], rows[2:]), strict=True):
        write_table(source, SCHEMA, some)
    with scratch(tmp_path / "result") as tables:
        tables.read("counts", sources, SCHEMA)
        assert list(tables.tuples("FROM counts")) == rows
        assert tables.number("SELECT sum(count) FROM counts") == 5


@pytest.mark.parametrize(
    "content", [b"", b"name\n", b"name,count\na,x\n", b"name,count\na\n", b"name,count\n\xff,1\n"]
)
def test_a_damaged_csv_table_is_named(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "damaged.csv"
    source.write_bytes(content)
    with (
        pytest.raises(AccountingError, match=r"damaged\.csv is damaged: "),
        scratch(tmp_path / "result") as tables,
    ):
        tables.read("counts", [source], SCHEMA)
    assert list(tmp_path.iterdir()) == [source]


def test_a_table_is_not_called_damaged_where_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meanface.files.scratch._MEMORY", "2MB")
    source = tmp_path / "large.csv"
    write_table(source, SCHEMA, ((f"{number:100}", number) for number in range(50_000)))
    with pytest.raises(duckdb.OutOfMemoryException), scratch(tmp_path / "result") as tables:
        tables.read("counts", [source], SCHEMA)


def test_the_folder_is_gone_afterwards_and_one_of_a_killed_job_is_replaced(tmp_path: Path) -> None:
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from meanface.files.scratch import scratch
        with scratch(Path(sys.argv[1])) as tables:
            tables.run("CREATE TABLE one AS SELECT 1")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "result")], check=False)
    assert [path.name for path in tmp_path.iterdir()] == ["result.scratch"]
    with scratch(tmp_path / "result") as tables:
        tables.run("CREATE TABLE one AS SELECT 1")
    assert list(tmp_path.iterdir()) == []
