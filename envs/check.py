"""Ends `make` with one line if Python or the folder is unsuitable; runs in any Python 3."""

import re
import sys
from pathlib import Path

if not (3, 11) <= sys.version_info < (3, 14):
    version = "{}.{}".format(*sys.version_info)
    sys.exit(
        f"meanface needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {version}:"
        " write make PYTHON=python3.13"
    )
# Snakemake stumbles over these in the path of the environment, and of this folder; see Snakefile.
environment = Path.cwd() / sys.argv[1]
for path, unfit in ((environment.parent, r"[][\s'\"`$&|;<>()*?\\{}]"), (Path.cwd(), "[{}]")):
    found = re.search(unfit, str(path))
    if found:
        sys.exit(f"meanface: move {path}: Snakemake stumbles over {found[0]!r} in it")
