"""What the files of the repository promise each other."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from meanface import __version__
from tests.runs import ROOT

# They ask for files, and do nothing themselves.
TARGETS = {"all", "audit", "compare", "find", "lfw_accuracy", "people", "pictures", "verify"}
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))
SOURCES = sorted([*ROOT.glob("meanface/**/*.py"), *ROOT.glob("scripts/*.py")])


def normal(name: str) -> str:
    """The name of a package as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {**read["project"], "build": read["build-system"]["requires"]}


def names(requirements: Iterable[str]) -> set[str]:
    return {normal(re.split(r"[^\w.-]", one)[0]) for one in requirements}


def locked(lock: str) -> dict[str, str]:
    """Each package of a lock file, and its requirement with all hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    return {normal(re.split(r"[^\w.-]", line)[0]): line for line in lines}


def rules() -> dict[str, dict[str, str]]:
    """Every rule and checkpoint, with the text of each of its directives."""
    found = {}
    for file in (ROOT / "Snakefile", *sorted(ROOT.glob("rules/*.smk"))):
        # A block ends where a line begins at the margin.
        for _, name, body in re.findall(
            r"^(rule|checkpoint) (\w+):\n((?:    .*\n|\n)*)", file.read_text(encoding="utf-8"), re.M
        ):
            parts = re.split(r"^    (\w+):", body, flags=re.M)
            found[name] = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
    return found


RULES = rules()


def test_the_conda_environment_has_this_release_and_its_pythons() -> None:
    environment = yaml.safe_load((ROOT / "envs/meanface.yaml").read_text(encoding="utf-8"))
    python, _, pip = environment["dependencies"]
    assert python == f"python{project()['requires-python']}"
    assert pip == {"pip": [f"meanface[pictures]=={__version__}"]}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_every_dependency_with_hashes(lock: str) -> None:
    packages = locked(lock)
    assert {"face-recognition", "flit-core", "snakemake", "dlib-bin"} <= set(packages)
    assert names(project()["dependencies"] + project()["build"]) - set(packages) == set()
    for name, line in packages.items():
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+ ", line), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), name
        assert not re.search(r"--hash=(?!sha256:[0-9a-f]{64}\b)", line), name


@pytest.mark.parametrize(
    ("extras", "lock"),
    [
        (["pictures"], "requirements-pictures.lock"),
        (["slurm", "kubernetes", "monitor"], "requirements-cluster.lock"),
        (["pictures", "slurm", "kubernetes", "monitor"], "requirements-dev.lock"),
    ],
)
def test_what_a_plain_run_does_not_need_is_only_where_it_is_asked_for(
    extras: list[str], lock: str
) -> None:
    asked = names(one for extra in extras for one in project()["optional-dependencies"][extra])
    assert asked <= set(locked(lock))
    assert not asked & set(locked("requirements.lock"))


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_no_address_and_nothing_to_compile(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    excluded = (ROOT / "excludes.txt").read_text(encoding="utf-8").splitlines()
    left_out = {line for line in excluded if not line.startswith("#")}
    assert {"dlib", "face-recognition-models", "connection-pool"} <= left_out
    assert not left_out & set(locked(lock))


def test_the_development_lock_has_the_same_pins() -> None:
    development = locked("requirements-dev.lock")
    for lock in LOCKS:
        for name, line in locked(lock).items():
            assert development[name].split()[0] == line.split()[0]


def test_the_rules_are_all_there() -> None:
    text = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "Snakefile", *ROOT.glob("rules/*.smk"))
    )
    assert set(RULES) == set(re.findall(r"^ *(?:rule|checkpoint) +(\w+)", text, re.M))
    assert {"acquire", "shard", "encode", "merge", *TARGETS} <= set(RULES)


@pytest.mark.parametrize("rule", sorted(set(RULES) - TARGETS))
def test_every_rule_logs_is_timed_and_says_what_it_does(rule: str) -> None:
    directives = RULES[rule]
    wanted = {"output", "log", "benchmark", "conda", "message", "script"}
    assert wanted - set(directives) == set()
    assert not {"shell", "run"} & set(directives), "names of files would be part of a command"
    for directive, folder in (("log", "results/logs/"), ("benchmark", "results/benchmarks/")):
        assert directives[directive].startswith(f'"{folder}'), directive
    for directive in ("conda", "script"):
        path = ROOT / "rules" / ast.literal_eval(directives[directive])
        assert path.is_file(), path
    names = re.findall(r"{wildcards\.(\w+)}|{(\w+)}", directives["output"])
    if "expand(" not in directives["output"]:  # then these are the rule's own wildcards
        for name in {first or second for first, second in names}:
            assert f"{{{name}}}" in directives["log"], "jobs of one rule would share a log"
            assert f"{{{name}}}" in directives["benchmark"]


def test_no_script_is_forgotten() -> None:
    used = {Path(ast.literal_eval(one["script"])).name for one in RULES.values() if "script" in one}
    assert used == {path.name for path in ROOT.glob("scripts/*.py")}


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str | None, ast.expr]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: word.value for word in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_ever_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not imported & {
        "pickle",
        "cPickle",
        "_pickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
    }
    for function, keywords in calls(tree):
        assert "pickle" not in function
        if "allow_pickle" in keywords:
            assert ast.literal_eval(keywords["allow_pickle"]) is False, function


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_shell_command_and_no_object_is_made_of_text(path: Path) -> None:
    """Rules have scripts, as is tested above, and no commands."""
    for function, keywords in calls(ast.parse(path.read_text(encoding="utf-8"))):
        assert "shell" not in keywords, function
        assert not re.fullmatch(r"eval|exec|os\.(system|popen)|subprocess\.get\w+", function)
        assert not re.fullmatch(r"yaml\.(?!safe_)\w+", function)


def test_the_table_of_faults_names_tests_that_there_are() -> None:
    table = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)(?:\[\w+\])?`", table))
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    assert named
    assert named - set(re.findall(r"^def (test_\w+)", tests, re.M)) == set()


@pytest.mark.parametrize(
    "path",
    sorted(set(ROOT.glob("meanface/**/*.py")) - set(ROOT.glob("meanface/workflow/*.py"))),
    ids=lambda path: path.name,
)
def test_the_library_knows_nothing_of_snakemake(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not [line for line in modules if "snakemake" in line]


# No package imports from one after it.
ORDER = ("files", "sources", "shards", "engine", "results", "report", "workflow", "__main__")
BELOW_ALL = {"", "errors", "process", "wording"}  # "" is meanface itself, which has the version


def imports(path: Path) -> set[str]:
    """The modules of meanface that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: names every module in full"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if module_file(name) else str(node.module) for name in full}
    return {name for name in found if name.split(".")[0] == "meanface"}


def module_file(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists()), None)


def rank(module: str) -> int:
    package = [*module.split("."), ""][1]
    return -1 if package in BELOW_ALL else ORDER.index(package)


@pytest.mark.parametrize("path", sorted(ROOT.glob("meanface/**/*.py")), ids=lambda path: path.name)
def test_no_import_runs_upward(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts).removesuffix(".__init__")
    upward = [name for name in sorted(imports(path)) if rank(name) > rank(module)]
    assert not upward, f"{module} imports {upward[0]}"


def test_no_import_leads_in_a_circle() -> None:
    files = sorted(ROOT.glob("meanface/**/*.py"))
    imported = {path: [module_file(name) for name in imports(path)] for path in files}
    TopologicalSorter(imported).prepare()  # raises CycleError


@pytest.mark.parametrize(
    "path", [*SOURCES, *sorted(ROOT.glob("benchmarks/*.py"))], ids=lambda path: path.name
)
def test_no_private_name_of_another_module_is_used(path: Path) -> None:
    if path.name == "snakemake_internals.py":  # says why, for each of Snakemake's
        return
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in nodes:
        used: set[str] = set()
        if isinstance(node, ast.ImportFrom):
            used = {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "os"):
            used = {node.attr}
        private = {name for name in used - own if re.match("_(?!_)", name)}
        assert not private, f"{path.name} uses {private}"


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert __version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
