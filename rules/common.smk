"""What the rules share: the checked configuration, and functions that find their inputs."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import RLock

from snakemake.exceptions import WorkflowError

from meanface.sources.listing import folder_listing_digest, size_of
from meanface.workflow.config import check_config
from meanface.sources.source import sources_of
from meanface.engine.settings import EngineSettings, versions
from meanface.errors import UserError
from meanface.shards.plan import read_plan
from meanface.workflow.cleanup import remove_photos
from meanface.shards.layout import layout, shards_for
from meanface.files.json_files import read_json
from meanface.workflow.summary import summary_text

# What YAML means by these, on the command line too: there Snakemake takes them for words.
WORDS = {"true": True, "false": False, "null": None}
config |= {
    key: WORDS[value]
    for key, value in config.items()
    if isinstance(value, str) and value in WORDS
}

try:
    check_config(config, Path(workflow.basedir, "config/config.schema.yaml"))
    SOURCES = {
        source.name: source
        for source in sources_of(
            config,
            [Path.cwd(), Path(workflow.basedir)],
            # A pod has the shards, and not the photos.
            must_exist=workflow.is_main_process,
        )
    }
except UserError as error:
    sys.exit(f"meanface: {error}")

ENGINE = EngineSettings.of(config)
MODELS = expand("results/models/{model}", model=ENGINE.models)


def number_of_shards():
    """Of each source; known before the split, since the shards are outputs named one by one."""
    if config["shards"] != "auto":
        return config["shards"]
    return max(
        shards_for(size_of(source.path)) if source.path else 16
        for source in SOURCES.values()
    )


@cache
def state_of(source):
    """What tells a changed local source from an unchanged one; looked at in every run.

    Of an archive too: Snakemake itself would not see one that is replaced by an older file.
    """
    path = SOURCES[source].path
    if not path:
        return None
    if path.is_dir():
        return folder_listing_digest(path)
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


try:
    parts, in_part = layout(number_of_shards())
    PARTS = [f"{part:0{len(str(parts - 1))}}" for part in range(parts)]
    NUMBERS = [f"{number:03}" for number in range(in_part)]
    if workflow.is_main_process:
        # In the parameters of a job it would be too late for an error of one line.
        for source in SOURCES:
            state_of(source)
except UserError as error:
    sys.exit(f"meanface: {error}")

SHARDS = expand("{source}-{part}{number}", source=SOURCES, part=PARTS, number=NUMBERS)
CONTENTS = expand("results/contents/{source}-{part}.csv", source=SOURCES, part=PARTS)
# How a source is read, see shards.split.
READING = {
    key: config[key]
    for key in ("suffixes", "max_bytes", "max_total_bytes", "max_ratio")
}


wildcard_constraints:
    source="[A-Za-z0-9_-]+",
    part="[0-9]+",


def with_pixels(files):
    """Files that hold photos: with `pictures: false` they go when they have been used."""
    return files if config["pictures"] else temp(files)


def archive_of(wildcards):
    """The file of the workflow that is the source's archive; a folder is none."""
    source = SOURCES[wildcards.source]
    if source.urls:
        return [f"results/download/{source.name}/{source.file_name}"]
    return [] if source.path.is_dir() else [local(str(source.path))]


def undivided(wildcards):
    """The archive where it is not divided: its one part is split right out of it."""
    return archive_of(wildcards) if len(PARTS) == 1 else []


def part_of(wildcards):
    """The part of a source that is divided, and its manifest."""
    return (
        expand("results/parts/{source}-{part}.{kind}", kind=["tar", "csv"], **wildcards)
        if len(PARTS) > 1
        else []
    )


def folder_of(wildcards):
    """The path of a source that is a folder."""
    path = SOURCES[wildcards.source].path
    return [str(path)] if path and path.is_dir() else []


def state_of_source(wildcards):
    return state_of(wildcards.source)


def checksum_of(wildcards):
    """As plain values: only of these does Snakemake see that they changed."""
    checksum = SOURCES[wildcards.source].checksum
    return checksum and [checksum.algorithm, checksum.digest]


def urls_of(wildcards):
    return SOURCES[wildcards.source].urls


def prefix_of(wildcards):
    return SOURCES[wildcards.source].prefix


@cache
def plan_of(time):
    """The plan as it was at that time, in ns; it may be made anew while this process runs."""
    return read_plan(Path(rules.plan.output.shards))


def planned(wildcards):
    """How many contents a shard is to encode, and their name; None before it is planned."""
    file = rules.plan.output.shards
    plan = Path(file)
    # A pod is told by the controller.
    if file.is_storage and workflow.is_main_process and not plan.exists():
        if file.storage_object.exists():
            fetch(file)
    if not plan.exists():
        return None
    return plan_of(plan.stat().st_mtime_ns).get(wildcards.shard)


def planned_for(wildcards):
    """The name of what a shard is to encode: by it, it is known which shards changed."""
    plan = planned(wildcards)
    return plan and plan.name


def outcomes(wildcards):
    """What encode makes, and of what, once it is planned: only then it is known what changed."""
    checkpoints.plan.get()
    return {
        "manifests": expand("results/shards/{shard}.csv", shard=SHARDS),
        "embeddings": expand("results/encoded/{shard}.npy", shard=SHARDS),
        "outcomes": expand("results/encoded/{shard}.csv", shard=SHARDS),
        "counts": expand("results/encoded/{shard}.json", shard=SHARDS),
    }


def neighbours(wildcards):
    """The name of the job that encodes a shard and those beside it, or None for a job of its own.

    `--group-components encode=16` has 16 of them in a job, on a cluster.
    """
    shards = workflow.group_settings.group_components.get("encode", 1)
    if shards == 1:
        return None
    part, number = wildcards.shard[:-3], wildcards.shard[-3:]
    first = int(number) // shards * shards
    last = min(first + shards, len(NUMBERS)) - 1
    name = f"{part}{NUMBERS[first]}-to-{part.rsplit('-', 1)[1]}{NUMBERS[last]}"
    # Snakemake joins jobs of one name only where it finds the number to join under it.
    workflow.parent_groupids[name] = "encode"
    return name


# Memory of an encode job beside the processes that encode: its script 100, the Snakemake that runs
# it 250.
JOB_MB = 350
# Of each process that encodes, see isolate.py. CUDA maps 2,000 to 2,500 that it hardly uses, and
# photos are decoded until they have 256 together.
PROCESS_MB = {"cpu": 500, "cuda": 3500}


def memory_to_encode(wildcards, attempt):
    """In MB: decoding and turning a photo takes up to 26 bytes per pixel, beside all else."""
    process = PROCESS_MB[ENGINE.device] + 26 * config["max_pixels"] // 1000000
    return attempt * (JOB_MB + config["threads"] * process)


def pairs_file(wildcards):
    """The pairs to score; asked for by the target lfw_accuracy alone."""
    if not config["pairs"]:
        raise WorkflowError(
            "pairs: lfw_accuracy needs the path of a pairs.txt, such as --config pairs=pairs.txt"
        )
    if not Path(config["pairs"]).exists():
        raise WorkflowError(f"pairs: there is no file {config['pairs']}")
    if config["face"] == "all":
        raise WorkflowError(
            "face: lfw_accuracy needs one face per photo, such as --config face=central"
        )
    return local(config["pairs"])


PICTURES_OF_PHOTOS = ["mean_face", "extremes", "failures"]


def look_only_when_a_job_ends():
    """Have Snakemake look for jobs to start when one has ended.

    For its limit of 100 started in a second, where no other is set, it looks once more in every
    second for each that has ended: a core's work before long.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def end_when_asked():
    """Have SIGTERM end the run at any moment.

    Snakemake takes a lock when the signal comes, and would wait for ever where its own main thread
    holds it, as it does whenever a job has ended.
    """
    workflow.scheduler._lock = RLock()


def fetch(file):
    """Copy a file from storage to where it is expected here."""
    file.storage_object.local_path().parent.mkdir(parents=True, exist_ok=True)
    file.storage_object.retrieve_object()


def finish():
    """After a run that succeeded: leave no photo where none is wanted, and show the summary.

    There is no summary where less was asked for.
    """
    if not config["pictures"]:
        remove_photos(Path("results"), PICTURES_OF_PHOTOS)
    summary = rules.merge.output.summary
    folder = Path(summary).parent.resolve()
    if summary.is_storage and summary.storage_object.exists():
        fetch(summary)
        folder = summary.storage_object.query.rpartition("/")[0]
    if Path(summary).exists():
        print(
            summary_text(read_json(Path(summary)), folder, os.environ["MEANFACE_RUN"])
        )


def print_report():
    """Show where the report is, if it is where the summary and `make report` have it."""
    page = Path("results/report.html").resolve()
    if page.exists():
        print(f"  report  {page}")


def shard_tars(wildcards):
    """All shards; expanded only where they are asked for, as there may be very many."""
    return expand("results/shards/{shard}.tar", shard=SHARDS)


def encode_counts(wildcards):
    """What each encode job counted, and its seconds."""
    return outcomes(wildcards)["counts"]


def drawn(files):
    """An input function that gives the pictures `files` where the packages that draw them are."""

    def checked(wildcards):
        missing = [
            name
            for name in ("altair", "matplotlib", "vl_convert")
            if find_spec(name) is None
        ]
        # Jobs in an environment or image of their own have them.
        if missing and not workflow.deployment_settings.deployment_method:
            sys.exit(
                f"meanface: pictures: {', '.join(missing)} not installed; run `make pictures`"
                " or `pip install 'meanface[pictures]'`"
            )
        return files

    return checked


def picture_files():
    """What the target pictures asks for; with `pictures: false` nothing that shows a photo."""
    of_photos = PICTURES_OF_PHOTOS if config["pictures"] else []
    of_numbers = ["dimensions", "settling", "distances", "map", "detectors", "speed"]
    return [
        *expand(
            "results/pictures/{name}.{kind}",
            name=of_photos + of_numbers,
            kind=["png", "svg"],
        ),
        "results/pictures/map.html",
        "results/pictures/overview.rst",
    ]
