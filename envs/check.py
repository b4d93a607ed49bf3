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
# .venv/bin/python lies below this folder; see the top of Snakefile.
found = re.search(r"[][\s'\"`$&|;<>()*?\\{}]", str(Path.cwd()))
if found:
    sys.exit(f"meanface: move {Path.cwd()}: Snakemake stumbles over {found[0]!r} in it")
