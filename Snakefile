import gc
import os
import re
import sys
from functools import cache
from importlib.util import find_spec
from uuid import uuid4

from snakemake import sourcecache
from snakemake.utils import min_version

min_version("9.23.1")

# The plan of a run is objects by the million, all of which stay: a tenth of the time went into
# looking for garbage among them.
gc.set_threshold(100_000)

# For each job its script is looked up, and the script's address parsed, again and again: another
# tenth.
if hasattr(sourcecache, "parse_uri"):
    sourcecache.parse_uri = cache(sourcecache.parse_uri)

# Snakemake gives Python's path to a shell without quotes, and takes braces for its own.
for path, unfit in (
    (sys.executable, r"[][\s'\"`$&|;<>()*?\\]"),
    (str(workflow.basedir), "[{}]"),
):
    if found := re.search(unfit, path):
        sys.exit(f"meanface: move {path}: Snakemake stumbles over {found[0]!r} in it")
if find_spec("meanface") is None:
    sys.exit(
        "meanface: the package meanface is not installed:"
        f" {sys.executable} -m pip install {workflow.basedir}"
    )

# By which the jobs of one run are told from those of earlier ones.
os.environ.setdefault("MEANFACE_RUN", uuid4().hex)


envvars:
    "MEANFACE_RUN",


configfile: f"{workflow.basedir}/config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/records.smk"
include: "rules/acquire.smk"
include: "rules/divide.smk"
include: "rules/shard.smk"
include: "rules/plan.smk"
include: "rules/models.smk"
include: "rules/encode.smk"
include: "rules/merge.smk"
include: "rules/statistics.smk"
include: "rules/pictures.smk"
include: "rules/accuracy.smk"
include: "rules/progress.smk"
include: "rules/failures.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        "results/mean.npy",
        "results/embeddings.npy",
        "results/faces.csv",
        "results/faces.parquet",
        "results/failures.csv",
        "results/summary.json",
        "results/statistics.npz",
        "results/identities.csv",
        "results/identities.npy",
        "results/mean_by_identity.npy",


include: "rules/kubernetes.smk"


onstart:
    look_only_when_a_job_ends()
    end_when_asked()


onsuccess:
    finish()
    note_results()


onerror:
    FAILURES.print()
    note_results()
