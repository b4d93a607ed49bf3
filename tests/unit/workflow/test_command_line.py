"""What a command line of Snakemake would do otherwise than it says is refused in one line."""

from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.workflow.command_line import check_command_line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cores", "4", "--config", "photos=a", "shards=2", "all"],
        ["-C", "photos=a#b", "--forcerun", "acquire"],
        ["--config", 'photos="party #2"', "photos='party #2'", "photos=['a #1', b]"],
        ["pictures", "--cores=4"],
        ["--report", "report.html", "--report-after-run", "pictures"],
        ["--until", "plan"],
    ],
)
def test_a_command_line_that_is_read_as_it_is_written(arguments: list[str], tmp_path: Path) -> None:
    check_command_line(arguments, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--config", "photos=a", "--config", "shards=2"], "after one --config"),
        (["-C", "photos=a", "--cores", "4", "--config=shards=2"], "after one --config"),
        (["--config", "photos=/a/party #2", "--cores", "4"], """'photos="/a/party #2"'"""),
        (["--cores", "4", "--config=cache=my #1"], """'cache="my #1"'"""),
        (["--report", "report.html"], "there are no pictures yet"),
        (["--cores", "4", "--until", "encode"], "--until plan first"),
    ],
)
def test_a_command_line_that_snakemake_reads_otherwise(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        check_command_line(arguments, tmp_path)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_with_pictures_and_plan_there_is_a_report_and_something_to_encode(tmp_path: Path) -> None:
    for file in ("pictures/overview.rst", "plan/shards.csv"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    check_command_line(["--until", "encode", "--report=report.html"], tmp_path)
