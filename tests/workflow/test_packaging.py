"""How meanface gets onto a machine: by make, as a wheel, and what is said where that fails."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from meanface import __version__
from tests.runs import ROOT

# Uses a value of the library in a way that only its annotations forbid.
WRONG_USE = """
from meanface.errors import UserError
from meanface.files.digest import file_digest

file_digest(1)
"""


def call(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with stdout and stderr together, as a user sees them."""
    return subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
        cwd="/",
    )


# --- the wheel ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network by the pinned build backend."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    shutil.copytree(
        ROOT / "meanface", source / "meanface", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    built = call(*pip, "--wheel-dir", folder, source)
    assert built.returncode == 0, built.stdout
    (path,) = folder.glob("*.whl")
    return path


def fresh_environment(folder: Path) -> Path:
    """A virtual environment with nothing in it but pip; its Python."""
    venv.create(folder, with_pip=True)
    return folder / "bin/python"


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    tracked = call("git", "-C", ROOT, "ls-files", "meanface").stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        packed = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert "meanface/py.typed" in packed
    assert set(tracked) <= set(packed)
    assert all(name.startswith("meanface/") for name in packed)


def test_an_installed_wheel_gives_the_library_the_command_and_its_types(
    wheel: Path, tmp_path: Path
) -> None:
    """The packages that it needs are those of the environment in which the tests run."""
    python = fresh_environment(tmp_path / "fresh")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    installed = call(*pip, wheel)
    assert installed.returncode == 0, installed.stdout

    version = call(tmp_path / "fresh/bin/meanface", "--version", PYTHONPATH="")
    assert version.stdout == f"meanface {__version__}\n"
    (site,) = (tmp_path / "fresh/lib").glob("python*/site-packages")
    others = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "others.pth").write_text(others)
    imported = call(
        python,
        "-c",
        "import meanface, meanface.engine.export; print(meanface.__file__)",
        PYTHONPATH="",
    )
    assert imported.stdout == f"{site / 'meanface/__init__.py'}\n"

    (tmp_path / "use.py").write_text(WRONG_USE)
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent"]
    mypy += ["--python-executable", str(python), f"--cache-dir={tmp_path / 'cache'}"]
    checked = call(*mypy, tmp_path / "use.py", PYTHONPATH="", MYPYPATH="")
    assert 'Argument 1 to "file_digest" has incompatible type "int"' in checked.stdout
    assert "Found 1 error" in checked.stdout


@pytest.mark.slow
def test_pip_installs_the_wheel_with_all_that_it_needs(wheel: Path, tmp_path: Path) -> None:
    """With nothing compiled: only connection-pool, which is Python alone, comes as source."""
    python = fresh_environment(tmp_path / "fresh")
    wheels_only = ["--only-binary", ":all:", "--no-binary", "connection-pool"]
    installed = call(python, "-m", "pip", "install", "--quiet", *wheels_only, wheel)
    assert installed.returncode == 0, installed.stdout
    done = call(
        *[python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"],
        *["--directory", tmp_path, "--workflow-profile", "none"],
        PYTHONPATH="",
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "results/mean.npy").exists()


# --- what will not do is one line -----------------------------------------------------------------


def clone(folder: Path) -> Path:
    """What `make run` reads before it installs anything."""
    shutil.copytree(ROOT / "envs", folder / "envs")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.mark.parametrize(("version", "found"), [("(3, 14, 0)", "3.14"), ("(3, 10, 9)", "3.10")])
def test_a_python_without_wheels_is_one_line_with_those_that_have_them(
    tmp_path: Path, version: str, found: str
) -> None:
    fake = tmp_path / "python3"
    pretend = f"import runpy, sys; sys.version_info = {version}; runpy.run_path(sys.argv[1])"
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretend}' \"$@\"\n")
    fake.chmod(0o755)
    done = call("make", "-C", clone(tmp_path / "clone"), "run", f"PYTHON={fake}")
    assert done.returncode != 0
    (line,) = [one for one in done.stdout.splitlines() if not one.startswith("make")]
    assert line.startswith("meanface needs Python 3.11, 3.12 or 3.13, and ")
    assert f" is {found}: " in line
    assert not (tmp_path / "clone/.venv").exists()


@pytest.mark.parametrize("name", ["my clone", "my{clone}", "it's"])
def test_make_in_a_folder_that_a_shell_reads_otherwise_is_one_line(
    tmp_path: Path, name: str
) -> None:
    """With a space, only where the home has a space as well."""
    run = ("make", "-C", clone(tmp_path / name), "run", f"PYTHON={sys.executable}")
    done = call(*run, HOME=str(tmp_path / "my home"))
    assert done.returncode != 0
    (line,) = [one for one in done.stdout.splitlines() if not one.startswith("make")]
    assert line.startswith(f"meanface: move {tmp_path / name}: Snakemake stumbles over ")
    assert not (tmp_path / name / ".venv").exists()


def test_make_in_a_folder_with_a_space_runs(tmp_path: Path) -> None:
    """The environment is not in this folder. Nothing is installed: its programs are ours."""
    folder = clone(tmp_path / "my clone")
    for name in ("meanface", "rules", "scripts", "config", "profiles", "sample", "report"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("encoder: onnx", "encoder: stub"))
    fake = tmp_path / "python3"
    fake.write_text(f"""#!/bin/sh
[ "$2" = venv ] || exec {sys.executable} "$@"
mkdir -p "$3/bin"
ln -s /bin/true "$3/bin/python"
printf '#!/bin/sh\nexec {sys.executable} -m snakemake "$@"\n' > "$3/bin/snakemake"
chmod +x "$3/bin/snakemake"
""")
    fake.chmod(0o755)
    home = {"HOME": str(tmp_path), "PYTHONPATH": str(folder)}
    done = call("make", "-C", folder, "run", f"PYTHON={fake}", **home)
    assert done.returncode == 0, done.stdout
    assert (folder / "results/mean.npy").exists()
    environment = (folder / ".venv").resolve()
    assert environment.parent == tmp_path / ".cache/meanface"
    again = call("make", "-C", folder, "run", f"PYTHON={fake}", **home)
    assert again.returncode == 0, again.stdout
    assert "venv" not in again.stdout.replace(f"{environment}/bin/snakemake", "")


def test_a_python_in_a_folder_with_a_space_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "my venv").symlink_to(sys.prefix)
    python = tmp_path / "my venv/bin/python"
    done = call(
        *[python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--dry-run"],
        *["--directory", tmp_path],
    )
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == (
        f"meanface: move {python}: Snakemake stumbles over ' ' in it"
    )


def test_a_clone_whose_path_has_braces_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a{b}").mkdir()
    shutil.copy(ROOT / "Snakefile", tmp_path / "a{b}")
    done = call(
        *[sys.executable, "-m", "snakemake", "--snakefile", tmp_path / "a{b}/Snakefile"],
        *["--directory", tmp_path, "--dry-run"],
    )
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == (
        f"meanface: move {tmp_path / 'a{b}'}: Snakemake stumbles over '{{' in it"
    )


@pytest.mark.parametrize(
    ("missing", "target", "line"),
    [
        ("meanface", "all", "meanface: the package meanface is not installed: "),
        ("matplotlib", "pictures", "meanface: pictures: matplotlib not installed; run `make pict"),
        ("vl_convert", "lfw_accuracy", "meanface: pictures: vl_convert not installed; run `make"),
    ],
)
def test_a_package_that_is_missing_is_one_line(
    tmp_path: Path, missing: str, target: str, line: str
) -> None:
    hide = f"""
import importlib.util
from snakemake.cli import main

find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "{missing}" else find(name)
main()
"""
    done = call(
        *[sys.executable, "-c", hide, "--snakefile", ROOT / "Snakefile", "--directory", tmp_path],
        *["--cores", "1", target, "--config", f"pairs={ROOT / 'README.md'}"],
    )
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1].startswith(line)
    assert "Traceback" not in done.stdout


def test_a_volume_without_rsync_is_one_line(tmp_path: Path) -> None:
    for tool in ("bash", "git", "which"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = call(
        *[sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--dry-run"],
        *["--directory", tmp_path, "--default-storage-provider", "fs"],
        *["--default-storage-prefix", tmp_path / "volume"],
        *["--config", "shards=2", "cache=null"],
        PATH=str(tmp_path),
    )
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1].startswith("meanface: rsync is missing, ")
    assert "Traceback" not in done.stdout
