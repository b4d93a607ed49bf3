"""What a command line of Snakemake would do otherwise than it says is refused in one line."""

import shlex
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from meanface.errors import UserError
from meanface.workflow.command_line import check_command_line, check_targets, config_argument


@pytest.mark.parametrize(
    "arguments",
    [
        ["all", "--cores", "4", "--config", "photos=a", "shards=2"],
        ["-C", "photos=a#b", "--forcerun", "acquire"],
        *(
            ["--config", f"photos={value}"]
            for value in (
                *("./a:b", "C:\\x", "*.jpg", " yes", "", "2019_08", "1e5", "@a", "%a", "~/a/"),
                *("[a]b", "a, b", "'a'", """ "party #2" """, " 'a: b' ", "['a #1', b]"),
            )
        ),
        ["--config", "detectors=[hog@0, cnn@1]", "photos=a"],
        ["--configfile", "a.yaml", "b.yaml"],
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
        (["--configfile", "a.yaml", "--configfile", "b.yaml"], "after one --configfile"),
        (["--configfiles=a.yaml", "-n", "--configfile", "b.yaml"], "after one --configfile"),
        (["--config", "photos=0.tar", "photos=1.tar"], "photos='[one, other]'"),
        (["--config", "shards=2", "photos=a", "shards=4"], "shards is there twice"),
        (["--config", "photos=[party #2, a]"], """photos='["one", "other"]'"""),
        (["--config", "ignore=[*.png]"], """ignore='["one", "other"]'"""),
        (["--report", "report.html"], "there are no pictures yet"),
        (["--cores", "4", "--until", "encode"], "--until plan or --until merge"),
        (["-Uencode", "-n"], "--until plan or --until merge"),
        (["-Cphotos=a", "-C", "shards=2"], "after one --config"),
        (["--delete-all-output", "--cores", "1"], "rm -r {tmp}/results {tmp}/.snakemake`"),
    ],
)
def test_a_command_line_that_snakemake_reads_otherwise(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        check_command_line(arguments, tmp_path / "results")
    assert told.replace("{tmp}", str(tmp_path)) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "/a/party #2",
        "a: b",
        "a:  # b",
        "a:",
        "- a",
        "!party",
        "&party",
        "{a, b}",
        "two\nlines",
        "\\ #",
    ],
)
@pytest.mark.parametrize("quotes", ["{}", '"{}"', "'{}'"])
def test_a_value_that_yaml_reads_otherwise_comes_with_quotes_that_help(
    value: str, quotes: str, tmp_path: Path
) -> None:
    entry = f"photos={quotes.format(value)}"
    assert parse_config([entry]) != {"photos": value}
    with pytest.raises(UserError) as raised:
        check_command_line(["--config", entry, "--cores", "4"], tmp_path)
    (remedy,) = shlex.split(str(raised.value).partition("between blanks, ")[2])
    check_command_line(["--cores", "4", f"--config={remedy}"], tmp_path)
    assert parse_config([remedy]) == {"photos": value}


@pytest.mark.parametrize(
    "texts",
    [
        *(["/a/b-c.zip"], ["https://host/x.tgz"], ["/a b"], ["/party #2"], ["/it's"], ["/é"]),
        *(["/a", "/b"], ["/a, b", "/c"], ["/a: b", "/it's"], ["/a]", '/"q"'], ["/a\\", "/[b"]),
    ],
)
def test_an_argument_that_is_suggested_is_read_as_it_is_meant(
    texts: list[str], tmp_path: Path
) -> None:
    (entry,) = shlex.split(config_argument("photos", texts))
    assert parse_config([entry]) == {"photos": texts if len(texts) > 1 else texts[0]}
    check_command_line(["--config", entry], tmp_path)


def test_with_pictures_there_is_a_report(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/overview.rst").touch()
    check_command_line(["--report=report.html"], tmp_path)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("peoplee", "there is no target 'peoplee'; did you mean people?"),
        ("faces.csv", "there is no target 'faces.csv'; README.md names the targets"),
    ],
)
def test_a_target_that_is_none_is_refused_with_a_hint(target: str, told: str) -> None:
    rules = {"all", "people", "report"}
    check_targets(["people", "results/faces.csv"], rules)
    with pytest.raises(UserError) as raised:
        check_targets(["all", target], rules)
    assert str(raised.value) == told
