"""Serve the page of all runs that were started with `--logger snkmt`; see docs/monitoring.md.

Arguments go to `datasette serve`, whose own defaults are host 127.0.0.1 and port 8001.
"""

import os
import sys
from pathlib import Path

from snkmt.core.db.session import Database

PAGE = Path(__file__).parent / "page"


def main() -> None:
    """Make the database where there is none yet, then become the server."""
    command = [sys.executable, "-m", "datasette", "serve", Database().db_path]
    command += ["--metadata", str(PAGE / "metadata.yaml")]
    command += ["--template-dir", str(PAGE / "templates")]
    command += ["--plugins-dir", str(PAGE / "plugins")]
    # The queries in metadata.yaml, no others, and no copy of the whole file.
    command += ["--setting", "default_allow_sql", "off", "--setting", "allow_download", "off"]
    os.execv(sys.executable, [*command, *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()
