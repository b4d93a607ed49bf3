"""Check the command line of Snakemake for options that would not do what the user means."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from meanface.errors import UserError


def check_command_line(arguments: Sequence[str], results: Path) -> None:
    """Check the `arguments` of the command `snakemake`, which writes into the folder `results`.

    Raises UserError for
    * a second --config, which would replace the first,
    * a value that Snakemake would cut at a YAML comment,
    * --report without pictures,
    * --until encode without a plan.
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
    """Give one list of values for each time that one of the options is given."""
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
