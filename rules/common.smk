"""What the rules share: the checked configuration, and what follows from it."""

from functools import cache

from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.shards.layout import layout, shards_for
from meanface.sources.listing import amount_of
from meanface.sources.source import check_sources, sources_of
from meanface.sources.state import state_of
from meanface.workflow.command_line import check_command_line
from meanface.workflow.config import check_config, with_defaults
from meanface.workflow.exclude import state_of_exclude
from meanface.workflow.storage import check_storage, use_our_executor

SCHEMA = Path(workflow.source_path("../config/config.schema.yaml"))
IN_STORAGE = internals.storage_provider(workflow) is not None
IS_MAIN = internals.is_main_process(workflow)


@cache
def state_of_source(name):
    """Give amount and state of a local source; None for a URL."""
    path = SOURCES[name].path
    return path and state_of(path, config["ignore"])


def amount_of_source(name):
    """Give the amount alone in jobs, which need no state; listing a folder takes time."""
    path = SOURCES[name].path
    if IS_MAIN or not path:
        state = state_of_source(name)
        return state and state.amount
    return amount_of(path, config["ignore"])


def number_of_shards():
    """Give the number of shards per source.

    Rules name every shard as an output, so the number is needed before the split.
    """
    if config["shards"] != "auto":
        return config["shards"]
    amounts = [amount_of_source(name) for name in SOURCES]
    return max(
        16 if amount is None else shards_for(amount.photos, amount.size)
        for amount in amounts
    )


try:
    if (
        IS_MAIN
        and not IS_IMPORTED
        and Path(sys.argv[0]).stem in ("snakemake", "__main__")
    ):
        check_command_line(sys.argv[1:], Path("results"))
    config = with_defaults(config, SCHEMA)
    check_config(config, SCHEMA)
    ENGINE = EngineSettings.of(config)
    if IN_STORAGE:
        check_storage(workflow, config)
    # A pod reads shards, so the photos need not exist there.
    folders = [Path.cwd(), *filter(None, [HERE])]
    found = sources_of(config, folders, must_exist=IS_MAIN)
    SOURCES = {source.name: source for source in found}
    if IS_MAIN:
        check_sources(found, ignore=config["ignore"], max_bytes=config["max_bytes"])
    EXCLUDE = state_of_exclude(config["exclude"], must_exist=IS_MAIN)
    parts, in_part = layout(number_of_shards())
    if IS_MAIN:
        # A UserError raised here ends the run with one line. Raised in `params`, it would not.
        for name in SOURCES:
            state_of_source(name)
except UserError as error:
    sys.exit(f"meanface: {error}")

# Jobs skip this, because importing the plugin would slow every job down.
if IN_STORAGE and IS_MAIN:
    use_our_executor(workflow)

FINGERPRINT = ENGINE.fingerprint()
MODELS = expand("results/models/{model}", model=ENGINE.models)
PARTS = [f"{part:0{len(str(parts - 1))}}" for part in range(parts)]
NUMBERS = [f"{number:03}" for number in range(in_part)]
SHARDS = expand("{source}-{part}{number}", source=SOURCES, part=PARTS, number=NUMBERS)
CONTENTS = expand("results/contents/{source}-{part}.csv", source=SOURCES, part=PARTS)
# What decides the results of merge, beside the plan.
MERGED_FROM = {
    "fingerprint": FINGERPRINT,
    "deduplicate": config["deduplicate"],
    "faces_csv": config["faces_csv"],
    "file_rows": config["file_rows"],
    "prefixed": any(source.prefix for source in SOURCES.values()),
}
# The keys that say how a source is read, see shards.split.
READING = {
    key: config[key]
    for key in (
        *("suffixes", "ignore", "zip_names"),
        *("max_bytes", "max_total_bytes", "max_ratio"),
    )
}


wildcard_constraints:
    source="[A-Za-z0-9_-]+",
    part="[0-9]+",
    key="[0-9a-f]{12}-[0-9a-f]{12}",
