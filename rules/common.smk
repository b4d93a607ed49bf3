"""What the rules share: the checked configuration, and functions that find their inputs."""

from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from meanface.acquire import folder_listing_digest, size_of
from meanface.config import check_config, source_of
from meanface.engine import EngineSettings, versions
from meanface.errors import UserError
from meanface.shards import shards_for
from meanface.summary import read_json, summary_text

try:
    check_config(config, Path(workflow.basedir, "config/config.schema.yaml"))
    SOURCE = source_of(config, [Path.cwd(), Path(workflow.basedir)])
except UserError as error:
    sys.exit(f"meanface: {error}")

ENGINE = EngineSettings.of(config)
MODELS = expand("results/models/{model}", model=ENGINE.models)

# One of the two holds the path of the photos: an archive is a file of the workflow, a folder none.
ARCHIVE, FOLDER = [], []
if SOURCE.urls:
    ARCHIVE = [f"results/download/{SOURCE.name}"]
elif SOURCE.path.is_dir():
    FOLDER = [str(SOURCE.path)]
else:
    ARCHIVE = [str(SOURCE.path)]


def number_of_shards():
    """Known before the split, since the shards are outputs named one by one."""
    if config["shards"] != "auto":
        return config["shards"]
    return shards_for(size_of(SOURCE.path)) if SOURCE.path else 16


SHARDS = [f"{number:04d}" for number in range(number_of_shards())]


@cache
def folder_listing(wildcards=None):
    """What tells a changed folder from an unchanged one; looked at in every run."""
    return [folder_listing_digest(Path(folder)) for folder in FOLDER]


def split_shards(wildcards):
    """The shards, once they are split: only then it is known which of them changed."""
    checkpoints.shard.get()
    return {
        "manifests": expand("results/shards/{shard}.csv", shard=SHARDS),
        "embeddings": expand("results/encoded/{shard}.npy", shard=SHARDS),
        "faces": expand("results/encoded/{shard}.faces.csv", shard=SHARDS),
        "failures": expand("results/encoded/{shard}.failures.csv", shard=SHARDS),
        "counts": expand("results/encoded/{shard}.json", shard=SHARDS),
    }


def pairs_file(wildcards):
    """The pairs to score; asked for by the target lfw_accuracy alone."""
    if not config["pairs"]:
        raise WorkflowError(
            "pairs: lfw_accuracy needs the path of a pairs.txt, such as --config pairs=pairs.txt"
        )
    if config["face"] == "all":
        raise WorkflowError(
            "face: lfw_accuracy needs one face per photo, such as --config face=central"
        )
    return local(config["pairs"])


def print_summary():
    """Show what the run came to; there is no summary where less was asked for."""
    summary = Path("results/summary.json")
    if summary.exists():
        print(summary_text(read_json(summary), summary.parent.resolve()))
