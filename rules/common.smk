"""The checked configuration, as the rules use it."""

from pathlib import Path

from snakemake.exceptions import WorkflowError

from meanface.config import check_config, source_of
from meanface.engine import EngineSettings
from meanface.errors import UserError
from meanface.summary import read_json, summary_text

try:
    check_config(config, Path(workflow.basedir, "config/config.schema.yaml"))
    SOURCE = source_of(config, [Path.cwd(), Path(workflow.basedir)])
except UserError as error:
    sys.exit(f"meanface: {error}")

ENGINE = EngineSettings.of(config)
SHARDS = [f"{number:04d}" for number in range(config["shards"])]


def print_summary():
    print(summary_text(read_json(Path("results/summary.json")), Path("results").resolve()))
