"""What the documentation says holds: links resolve, snippets run, files and columns exist."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.runs import ROOT, snakemake

PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "[cs]*/README.md") for page in ROOT.glob(pattern)
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUTS = (ROOT / "docs/reference/outputs.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub and MkDocs give the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page))):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file), target


def commands_of(page: Path) -> Iterator[str]:
    """The lines of a page that are code, with those joined that a backslash continues."""
    text = text_of(page).replace("\\\n", " ")
    blocks = [block for _, language, block in FENCE.findall(text) if language != "python"]
    indented = re.findall(r"^ {4,}.+$", FENCE.sub("", text), re.M)
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for line in [*"\n".join(blocks).splitlines(), *indented, *inline]:
        yield line.strip()


@every_page
def test_commands_use_keys_and_targets_that_there_are(page: Path) -> None:
    keys = yaml.safe_load(text_of(ROOT / "config/config.schema.yaml"))["properties"]
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.M))
    for command in commands_of(page):
        if " --config " in command:
            given = shlex.split(command.partition(" --config ")[2], comments=True)
            for entry in given:
                if entry.startswith("-"):
                    break
                assert entry.partition("=")[0] in {*keys, "key"}, command
        if command.startswith("make "):
            words = shlex.split(command, comments=True)[1:]
            for target in words[: words.index("&&") if "&&" in words else None]:
                assert "=" in target or target in targets, command


@every_page
def test_every_file_named_is_there(page: Path) -> None:
    folders = "meanface|rules|scripts|tests|config|docs|report|benchmarks|deploy|profiles"
    for name in re.findall(rf"`((?:{folders})/[\w/.-]+\.\w+)`", text_of(page)):
        is_example = "yunet" in name or re.search("[A-Z]{4}", Path(name).stem)
        assert is_example or (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of the sample, whose faces are made up."""
    directory = tmp_path_factory.mktemp("docs")
    run = snakemake(directory, encoder="stub")
    assert run.code == 0, run.output
    return directory


def python(code: str, folder: Path) -> None:
    """Run code in a folder, as a user does who copies it."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_the_snippets_of_readme_and_tutorial_run(folder: Path) -> None:
    (one_person,) = (code for _, kind, code in FENCE.findall(README) if kind == "python")
    python(one_person + "assert collins.shape == (9, 128) and collins.dtype == np.float32", folder)
    tutorial = text_of(ROOT / "docs/tutorial.md")
    (means,) = (code for _, kind, code in FENCE.findall(tutorial) if kind == "python")
    python(means + "assert collins.shape == (128,)", folder)


def rows_of_results() -> list[tuple[str, str, str]]:
    """The rows of README's table: file, content, how to load it."""
    return re.findall(r"^\| `results/([\w./]+)` \| (.+) \| (.+) \|$", README, re.M)


def test_every_result_loads_as_the_readme_says(folder: Path) -> None:
    loaded = {name: code.strip("`") for name, _, code in rows_of_results() if code[0] == "`"}
    made = {path.name for path in (folder / "results").iterdir() if path.is_file()}
    assert set(loaded) == made
    imports = ["import json", "import numpy as np", "import pandas as pd"]
    python("\n".join([*imports, *loaded.values()]), folder)


@pytest.mark.parametrize(("name", "content"), [row[:2] for row in rows_of_results()])
def test_every_result_has_the_content_that_the_readme_names(
    name: str, content: str, folder: Path
) -> None:
    file = folder / "results" / name
    if name.endswith(".csv"):
        (columns,) = re.findall(r"`(\w+(?:, \w+)+)`", content)
        assert pd.read_csv(file).columns.tolist() == columns.split(", ")
    elif name.endswith(".parquet"):
        table = pd.read_csv(file.with_suffix(".csv"))
        assert pd.read_parquet(file).columns.tolist() == table.columns.tolist()
    elif name.endswith(".npy"):
        array = np.load(file, allow_pickle=False)
        dtype, rows = re.findall(r"^(\w+) \((?:(\w), )?128,?\)", content)[0]
        assert array.dtype == dtype
        assert array.shape[-1] == 128
        assert array.ndim == (2 if rows else 1)
    elif name.endswith(".npz"):
        assert set(np.load(file, allow_pickle=False)) == set(re.findall(r"`(\w+)`", content))


def documented(heading: str) -> list[str]:
    """The names in the first column of the tables under a heading of the reference of outputs."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", OUTPUTS, re.M | re.S)
    cells = re.findall(r"^\| (`.+?) \|", section, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("table", ["faces.csv", "failures.csv", "identities.csv"])
def test_the_reference_explains_every_column(table: str, folder: Path) -> None:
    assert documented(table) == pd.read_csv(folder / "results" / table).columns.tolist()


def test_the_reference_explains_every_key_and_array(folder: Path) -> None:
    summary = json.loads((folder / "results/summary.json").read_text(encoding="utf-8"))
    assert sorted(documented("summary.json")) == sorted(summary)
    statistics = set(np.load(folder / "results/statistics.npz", allow_pickle=False))
    arrays = {path.name for path in (folder / "results").glob("*.npy")}
    assert set(documented("Arrays")) == arrays | statistics


class _Loaded(HTMLParser):
    """Collects the addresses that a page loads by itself; links to follow are none of these."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or "" for name, value in attrs if name == "src" or (tag, name) == ("link", "href")
        ]


def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.glob("**/*.html")]
    assert {page.stem for page in PAGES if page.parent == ROOT / "docs"} <= {
        page.stem for page in pages
    }
    for page in pages:
        parser = _Loaded()
        parser.feed(text_of(page))
        assert parser.addresses
        assert not [one for one in parser.addresses if re.match(r"\w+:|//", one)], page
    for style in tmp_path.glob("**/*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", text_of(style)), style
