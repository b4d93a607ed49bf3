"""Check the command line of Snakemake for options that would not do what the user means."""

import difflib
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from meanface.errors import UserError
from meanface.workflow import snakemake_internals as internals


def check_command_line(arguments: Sequence[str], results: Path) -> None:
    """Check the `arguments` of the command `snakemake`, which writes into the folder `results`.

    Raises UserError for
    * a second --config or --configfile, which would replace the first,
    * a key of --config that is given twice, such as `photos=a photos=b`,
    * a list that YAML does not read, such as `[party #2, a]`,
    * a value that YAML reads as something else, such as `a: b` or `party #2`,
    * --report without pictures,
    * --until encode,
    * --delete-all-output.
    """
    _check_once(
        _values_of(arguments, "--configfile", "--configfiles"),
        "--configfile",
        "write all files after one --configfile",
    )
    given = _values_of(arguments, "--config", "-C")
    _check_once(given, "--config", "write all keys after one --config")
    _check_config([entry for entries in given for entry in entries])
    is_report = _values_of(arguments, "--report") and not _values_of(
        arguments, "--report-after-run"
    )
    if is_report and not (results / "pictures/overview.rst").exists():
        raise UserError(
            "--report: there are no pictures yet; use `make provenance`, or the target pictures"
        )
    for names in _values_of(arguments, "--until", "-U"):
        # The jobs of a rule behind a checkpoint come into being during a run.
        if "encode" in names:
            raise UserError(
                "--until encode: Snakemake would encode nothing, because a run makes the plan "
                "first; use --until plan or --until merge"
            )
    if _values_of(arguments, "--delete-all-output"):
        folders = shlex.join([str(results.resolve()), str(results.resolve().parent / ".snakemake")])
        raise UserError(
            "--delete-all-output leaves the cache, the pictures and the logs; to remove everything "
            f"use `rm -r {folders}`"
        )


def check_targets(targets: Iterable[str], rules: Collection[str]) -> None:
    """Raise UserError for a target that names neither one of the `rules` nor a file in a folder.

    Snakemake's own line suggests no other name. All files of the workflow lie in a folder.
    """
    for target in targets:
        if target not in rules and "/" not in target:
            close = difflib.get_close_matches(target, rules, n=1)
            hint = f"did you mean {close[0]}?" if close else "README.md names the targets"
            raise UserError(f"there is no target {target!r}; {hint}")


def config_argument(key: str, texts: Sequence[str]) -> str:
    """Give an argument of --config for a text, or for a list of texts, quoted for a shell."""
    quoted = [json.dumps(text, ensure_ascii=False) for text in texts]
    is_plain = all(re.fullmatch(r"/[\w./@%+-]*|https?://[\w./@%+?=-]+", text) for text in texts)
    if len(texts) == 1:
        return f"{key}={texts[0]}" if is_plain else shlex.quote(f"{key}= {quoted[0]} ")
    return (
        f"{key}='[{', '.join(texts)}]'" if is_plain else shlex.quote(f"{key}=[{', '.join(quoted)}]")
    )


def check_directory() -> None:
    """Raise UserError if the working directory is read-only, or if its `results` is no folder.

    Snakemake keeps its own records there, and would end in a stack trace.
    """
    results = Path("results").absolute()
    if os.path.lexists(results) and not results.is_dir():
        raise UserError(
            f"{results} is no folder; rename it, or name a folder by --directory FOLDER"
        )
    kept = Path(".snakemake")
    if not os.access(kept if kept.exists() else ".", os.W_OK):
        raise UserError(
            f"the folder {Path.cwd()} is read-only; run where you may write, or name such a folder"
            " with --directory FOLDER"
        )


def _values_of(arguments: Sequence[str], *options: str) -> list[list[str]]:
    """Give one list of values for each time that one of the options is given."""
    found: list[list[str]] = []
    values: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            option, equals, value = argument.partition("=")
            if not option.startswith("--"):  # a short option may hold its value: -Uencode
                option, value = argument[:2], argument[2:].removeprefix("=")
            values = [value] if equals or value else []
            if option in options:
                found.append(values)
        else:
            values.append(argument)
    return found


def _check_once(given: Sequence[object], option: str, remedy: str) -> None:
    if len(given) > 1:
        raise UserError(
            f"{option} is there twice, and the second would replace the first; {remedy}"
        )


def _check_config(entries: Sequence[str]) -> None:
    keys = [entry.partition("=")[0] for entry in entries]
    for key in keys:
        if keys.count(key) > 1:
            several = ", or a list of sources, photos='[one, other]'" * (key == "photos")
            raise UserError(
                f"config: {key} is there twice, and Snakemake would use the last value only; "
                f"give one value{several}"
            )
    for entry in entries:
        key, _, value = entry.partition("=")
        text = value.strip("'\"").strip()  # Snakemake removes quotes at the ends too
        read = internals.read_config(entry)
        is_list = text.startswith("[") and text.endswith("]")
        if isinstance(read, str) and is_list and not Path(text).exists():
            raise UserError(
                f"config: {key}: Snakemake cannot read {text!r} as a list; "
                f'write each item in double quotes, {key}=\'["one", "other"]\''
            )
        is_yaml = text[:1] in ("'", '"', "[", "{")
        is_other = isinstance(read, str | list | dict) and read != text and not is_yaml
        if is_other or (key == "photos" and isinstance(read, dict)):
            raise UserError(
                f"config: {key}: Snakemake would read {text!r} as {read!r}; "
                f"write it in double quotes between blanks, {config_argument(key, [text])}"
            )
