"""Functions that give the inputs, params and resources of rules."""

from functools import cache
from importlib.util import find_spec

from meanface.shards.plan import NOTHING, outcome_key, read_plan
from meanface.sources.query import query_place
from meanface.workflow.integrity import files_in
from meanface.workflow.memory import encode_mb
from meanface.workflow.run import PICTURES_OF_PHOTOS

# The stub looks at no photo, and its faces are made up.
SHOWS_PHOTOS = config["pictures"] and not ENGINE.is_stub


def with_pixels(files):
    """Mark files that hold photos: with `pictures: false`, Snakemake removes them after use."""
    return files if config["pictures"] else temp(files)


def without_excluded(archive):
    """Mark a downloaded archive: with `exclude`, Snakemake removes the archive after use."""
    return temp(archive) if config["exclude"] else with_pixels(archive)


def receipt(file):
    """Give the file with the number of excluded photos by line; nothing without `exclude`."""
    return {"excluded": file} if config["exclude"] else {}


def archive_of(wildcards):
    """Give the archive file of a source; nothing for a folder."""
    source = SOURCES[wildcards.source]
    if source.urls:
        return [f"results/download/{source.name}/{source.file_name}"]
    return [] if source.is_folder else [local(str(source.path))]


def folder_of(wildcards):
    """Give the path of a folder, or of a pattern in a folder; nothing for an archive."""
    source = SOURCES[wildcards.source]
    return [str(source.path)] if source.is_folder else []


def prefix_of(wildcards):
    return SOURCES[wildcards.source].prefix


def checksum_of(wildcards):
    """Give the checksum as plain values, because Snakemake notices changes only in plain values."""
    checksum = SOURCES[wildcards.source].checksum
    return checksum and [checksum.algorithm, checksum.digest]


def undivided(wildcards):
    """Give the archive of a source that is not divided, and so is split into shards directly."""
    return archive_of(wildcards) if len(PARTS) == 1 else []


def part_of(wildcards):
    """Give the tar and the manifest of a part; nothing if the source is not divided."""
    return (
        expand("results/parts/{source}-{part}.{kind}", kind=["tar", "csv"], **wildcards)
        if len(PARTS) > 1
        else []
    )


def made_of(name):
    """Give what a source's shards are made of; see meanface.workflow.freshness."""
    source, state = SOURCES[name], state_of_source(name)
    return {
        "photos": str(source.path.resolve()) if source.path else source.urls[0],
        "state": state and state.text,
        "checksum": source.checksum
        and [source.checksum.algorithm, source.checksum.digest],
        "prefix": source.prefix,
        "reading": READING,
        "shards": len(PARTS) * len(NUMBERS),
        **({"exclude": EXCLUDE[1]} if EXCLUDE else {}),
    }


@cache
def plan_of(time):
    """Read the plan once per `time`, its mtime in ns, because the plan may change during a run."""
    return read_plan(Path(rules.plan.output.shards))


def planned(shard):
    """Give the contents that a shard has to encode: number and name. None before planning."""
    file = rules.plan.output.shards
    plan = Path(file)
    # A pod that merges needs the plan too, because the plan decides the paths of outcomes.
    if not plan.exists() and internals.exists_in_storage(file):
        internals.fetch(file)
    return plan_of(plan.stat().st_mtime_ns).get(shard) if plan.exists() else None


def photos_of(wildcards):
    """Give the number of photos that a shard has to encode."""
    plan = planned(wildcards.shard)
    return plan.contents if plan else 0


def outcomes(wildcards):
    """Give the outputs of encode, whose paths are known once plan has run, and the manifests."""
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


def memory_for(engine):
    """Make a function that gives the MB of a job that encodes with this engine."""

    def memory(wildcards, threads, attempt):
        return attempt * encode_mb(threads, engine.device, config["max_pixels"])

    return memory


def shard_tars(wildcards):
    """Give all shards, as a function: only rules that need this long list expand it."""
    return expand("results/shards/{shard}.tar", shard=SHARDS)


def encode_counts(wildcards):
    """Give the files with the counts and seconds of each encode job."""
    return outcomes(wildcards)["counts"]


def drawn(files):
    """Make an input function: it gives `files`, or ends the run if a package to draw is missing."""

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
    """Give the files of the target pictures; without SHOWS_PHOTOS, no file that shows a photo."""
    of_photos = PICTURES_OF_PHOTOS if SHOWS_PHOTOS else ()
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


def shown_photos(wildcards):
    """Give what the report needs to show photos; nothing without SHOWS_PHOTOS."""
    if not SHOWS_PHOTOS:
        return {}
    return {"tars": ancient(shard_tars(wildcards)), "models": MODELS}


def scored_pairs(wildcards):
    """Give the scores of the pairs; nothing if the configuration names no pairs to score."""
    if not config["pairs"] or config["face"] == "all":
        return {}
    return {
        "accuracy": "results/accuracy/lfw.json",
        "roc": "results/accuracy/roc.csv",
    }


def pairs_file(wildcards):
    """Give the file of pairs. Only the target lfw_accuracy needs the file."""
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


def groups_file(wildcards):
    """Give the file of groups, if the configuration names one. Only the target verify reads it."""
    if config["face"] == "all":
        sys.exit(
            "meanface: face: verify needs one face per photo, such as --config face=central"
        )
    if config["groups"] and not Path(config["groups"]).exists():
        sys.exit(f"meanface: groups: there is no file {config['groups']}")
    return [local(config["groups"])] if config["groups"] else []


def other_files(wildcards):
    """Give the results with which the target compare compares, by name."""
    if not config["other"]:
        sys.exit(
            "meanface: other: compare needs the results of another run, such as"
            " --config other=/data/other/results"
        )
    names = {
        "summary": "summary.json",
        "statistics": "statistics.npz",
        "faces": "faces.parquet",
        "embeddings": "embeddings.npy",
    }
    files = {name: Path(config["other"], file) for name, file in names.items()}
    for file in files.values():
        if not file.exists():
            sys.exit(
                f"meanface: other: {config['other']} holds no results: there is no {file}"
            )
    return {f"other_{name}": local(str(file)) for name, file in files.items()}


@cache
def query_state():
    """Give place and state of the query photos, as plain values for `params`."""
    if not config["query"]:
        sys.exit(
            "meanface: query: find needs a photo or a folder of photos, such as"
            " --config query=photo.jpg"
        )
    try:
        place = query_place(config["query"], config["ignore"], config["max_bytes"])
        return [str(place), state_of(place, config["ignore"]).text]
    except (OSError, UserError) as error:
        sys.exit(f"meanface: {error}")


def found_sheet(wildcards):
    """Give the pictures of the target find; nothing without SHOWS_PHOTOS."""
    if not SHOWS_PHOTOS:
        return []
    return drawn(["results/pictures/find.png", "results/pictures/find.svg"])(wildcards)


# Targets whose results other targets use if they are there: the rules that make them, the files.
BESIDE = {
    "people": (["group_faces"], ["results/people.csv", "results/people.json"]),
    "verify": (
        ["compare_all_pairs"],
        ["results/verification.csv", "results/verification.json"],
    ),
    "audit": (["audit_faces"], ["results/audit.csv", "results/audit.json"]),
    "find": (
        ["find_faces", "shard_query", "encode_query"],
        [
            "results/find.csv",
            "results/find.json",
            "results/query/query.csv",
            "results/query/embeddings.npy",
            "results/query/outcomes.csv",
            *(["results/query/query.tar"] if SHOWS_PHOTOS else []),
        ],
    ),
}


def record_of(rule):
    """Give the record of the files that the job of a rule made; see meanface.workflow.job."""
    return Path(getattr(rules, rule).log[0]).with_suffix(".json")


def in_results(files):
    """Give the paths of files of ours: a module with a prefix has a folder of its own."""
    results = record_of("merge").parents[1]
    return [str(results / Path(file).relative_to("results")) for file in files]


def names_of(target):
    """Give the names by which a user asks for a target of ours: its rule, and its files."""
    return [
        internals.rule_name(getattr(rules, target)),
        *in_results(BESIDE[target][1]),
    ]


def wanted_beside(*targets):
    """Make an input function: it gives the files of the targets that this run makes, by target."""
    # Now, because a later `use rule` reads the rules again, and perhaps with other names.
    names = {target: names_of(target) for target in targets}

    def wanted(wildcards):
        return {
            target: BESIDE[target][1]
            for target in targets
            if internals.is_target(workflow, names[target])
        }

    return wanted


def found_beside(*targets):
    """Make a function for `params`: it gives the files that earlier runs left, by target.

    Each file comes with its sha256. As `params`, the files make a result again when they change.
    As inputs, they would be made again themselves whenever photos are added.
    """

    wanted = wanted_beside(*targets)

    def found(wildcards):
        others = [target for target in targets if target not in wanted(wildcards)]
        return {target: files_beside(*BESIDE[target]) for target in others}

    return found


def files_beside(names, files):
    """Give the files with the sha256 in the rules' records; nothing if a file is missing."""
    known = {
        file: sha256
        for name in names
        for file, sha256 in files_in(record_of(name)).items()
    }
    there = in_results(files)
    if not all(file in known and Path(file).exists() for file in there):
        return {}
    return {file: known[file] for file in there}
