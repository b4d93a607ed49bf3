"""Input functions, and those that give params and resources."""

from functools import cache
from importlib.util import find_spec

from meanface.shards.plan import NOTHING, outcome_key, read_plan
from meanface.workflow.memory import encode_mb
from meanface.workflow.run import PICTURES_OF_PHOTOS


def with_pixels(files):
    """Files that hold photos: with `pictures: false` they go when they have been used."""
    return files if config["pictures"] else temp(files)


def archive_of(wildcards):
    """The file of the workflow that is the source's archive; a folder is none."""
    source = SOURCES[wildcards.source]
    if source.urls:
        return [f"results/download/{source.name}/{source.file_name}"]
    return [] if source.is_folder else [local(str(source.path))]


def folder_of(wildcards):
    """The path of a source that is a folder, or a pattern in one."""
    source = SOURCES[wildcards.source]
    return [str(source.path)] if source.is_folder else []


def prefix_of(wildcards):
    return SOURCES[wildcards.source].prefix


def checksum_of(wildcards):
    """As plain values: only of these does Snakemake see that they changed."""
    checksum = SOURCES[wildcards.source].checksum
    return checksum and [checksum.algorithm, checksum.digest]


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


def made_of(name):
    """What a source's shards are made of; see meanface.workflow.freshness."""
    source = SOURCES[name]
    return {
        "photos": str(source.path.resolve()) if source.path else source.urls[0],
        "state": state_of_source(name),
        "checksum": source.checksum
        and [source.checksum.algorithm, source.checksum.digest],
        "prefix": source.prefix,
        "reading": READING,
        "shards": len(PARTS) * len(NUMBERS),
    }


@cache
def plan_of(time):
    """The plan as it was at that time, in ns; it may be made anew while this process runs."""
    return read_plan(Path(rules.plan.output.shards))


def planned(shard):
    """How many contents a shard is to encode, and their name; None before it is planned."""
    file = rules.plan.output.shards
    plan = Path(file)
    # A pod that merges needs the plan too: outcomes are named for it.
    if not plan.exists() and internals.exists_in_storage(file):
        internals.fetch(file)
    return plan_of(plan.stat().st_mtime_ns).get(shard) if plan.exists() else None


def photos_of(wildcards):
    """How many photos a shard is to encode."""
    plan = planned(wildcards.shard)
    return plan.contents if plan else 0


def outcomes(wildcards):
    """What encode makes, and of what, once it is planned: only then it is known what changed."""
    checkpoints.plan.get()
    plans = [planned(shard) for shard in SHARDS]
    keys = [outcome_key(FINGERPRINT, plan.name if plan else NOTHING) for plan in plans]
    return {
        "manifests": expand("results/shards/{shard}.csv", shard=SHARDS),
        **{
            name: expand(
                f"results/encoded/{{shard}}.{{key}}.{kind}", zip, shard=SHARDS, key=keys
            )
            for name, kind in (
                ("embeddings", "npy"),
                ("outcomes", "csv"),
                ("counts", "json"),
            )
        },
    }


def memory(wildcards, threads, attempt):
    return attempt * encode_mb(threads, ENGINE.device, config["max_pixels"])


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
        if missing and not internals.deploys_software(workflow):
            sys.exit(
                f"meanface: pictures: {', '.join(missing)} not installed; run `make pictures`"
                " or `pip install 'meanface[pictures]'`"
            )
        return files

    return checked


def picture_files():
    """What the target pictures asks for; with `pictures: false` nothing that shows a photo."""
    of_photos = PICTURES_OF_PHOTOS if config["pictures"] else ()
    of_numbers = ("dimensions", "settling", "distances", "map", "detectors", "speed")
    return [
        *expand(
            "results/pictures/{name}.{kind}",
            name=of_photos + of_numbers,
            kind=["png", "svg"],
        ),
        "results/pictures/map.html",
        "results/pictures/overview.rst",
    ]


def pairs_file(wildcards):
    """The pairs to score; asked for by the target lfw_accuracy alone."""
    if not config["pairs"]:
        sys.exit(
            "meanface: pairs: lfw_accuracy needs the path of a pairs.txt, such as"
            " --config pairs=pairs.txt"
        )
    if not Path(config["pairs"]).exists():
        sys.exit(f"meanface: pairs: there is no file {config['pairs']}")
    if config["face"] == "all":
        sys.exit(
            "meanface: face: lfw_accuracy needs one face per photo, such as --config face=central"
        )
    return local(config["pairs"])
