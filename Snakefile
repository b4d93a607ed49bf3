import gc
import os
import sys
from functools import cache
from uuid import uuid4

from snakemake import sourcecache
from snakemake.utils import min_version

min_version("9.20")

# The plan of a run is objects by the million, all of which stay: a tenth of the time went into
# looking for garbage among them.
gc.set_threshold(100_000)

# For each job its script is looked up, and the script's address parsed, again and again: another
# tenth.
if hasattr(sourcecache, "parse_uri"):
    sourcecache.parse_uri = cache(sourcecache.parse_uri)

# The jobs' scripts import the library that lies beside this file.
sys.path.insert(0, workflow.basedir)
os.environ |= {
    "PYTHONPATH": os.pathsep.join(
        filter(None, [workflow.basedir, os.getenv("PYTHONPATH")])
    )
}
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
