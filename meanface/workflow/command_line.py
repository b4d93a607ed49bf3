"""The command line of Snakemake: what it would read or do in another way than its user means."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from meanface.errors import UserError


def check_command_line(arguments: Sequence[str], results: Path) -> None:
    """Refuse what would not do what it says; `arguments` are those of the command `snakemake`.

    Raises UserError for a second --config, which would replace the first; for a value that
    Snakemake would cut at a comment of YAML; for a report without pictures in the folder `results`;
    and for --until encode before it is known what to encode.
    """
    _check_config(_values_of(arguments, "--config", "-C"))
    is_report = _values_of(arguments, "--report") and not _values_of(
        arguments, "--report-after-run"
    )
    if is_report and not (results / "pictures/overview.rst").exists():
        raise UserError(
            "--report: there are no pictures yet; use `make report`, or make the target pictures"
        )
    for names in _values_of(arguments, "--until", "-U"):
        if "encode" in names and not (results / "plan/shards.csv").exists():
            raise UserError(
                "--until encode: the plan says what to encode, and there is none yet; "
                "use --until plan first"
            )


def _values_of(arguments: Sequence[str], *options: str) -> list[list[str]]:
    """Give the values behind each of the options, as often as these are there."""
    found: list[list[str]] = []
    values: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            values = [value] if equals else []
            if option in options:
                found.append(values)
        else:
            values.append(argument)
    return found


def _check_config(given: list[list[str]]) -> None:
    if len(given) > 1:
        raise UserError(
            "--config is there twice, and the second would replace the first; "
            "write all keys after one --config"
        )
    for entry in (entry for entries in given for entry in entries):
        key, _, value = entry.partition("=")
        if " #" in value and value[0] not in "\"'[{":
            quoted = shlex.quote(f'{key}="{value}"')
            raise UserError(
                f"config: {key}: Snakemake would cut the value at ' #'; quote it twice, {quoted}"
            )
