"""Results that were altered between two runs are removed before Snakemake looks at what there is."""

import logging

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from meanface.workflow.integrity import note_states, remove_altered

# With remote storage there is nothing here to look at.
HAS_RESULTS = (
    workflow.is_main_process
    and not workflow.output_settings.dryrun
    and not workflow.storage_settings.default_storage_provider
)
RECORDS = Path("results/logs")
SEEN = Path(".snakemake/meanface.json")


class StartHandler(logging.Handler):
    """Looks at the results when a run starts: only a real one tells so, no lint and no report."""

    def emit(self, record):
        if getattr(record, "event", None) == LogEvent.WORKFLOW_STARTED:
            try:
                altered = remove_altered(RECORDS, SEEN)
            except UserError as error:
                sys.exit(f"meanface: {error}")
            for file in altered:
                print(
                    f"meanface: {file} was altered since it was made, and is removed to be made again",
                    file=sys.stderr,
                )


def note_results():
    """Keep how the results look after a run, so that the next one need not read them."""
    if HAS_RESULTS:
        note_states(RECORDS, SEEN)


if HAS_RESULTS:
    logger.addHandler(StartHandler())
