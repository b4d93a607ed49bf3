import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from snakemake.utils import min_version

min_version("9.23.1")

if find_spec("meanface") is None:
    sys.exit(
        f"meanface: the package meanface is not installed: {sys.executable} -m pip install"
        " meanface, or the folder of the workflow"
    )

from meanface import __version__
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.freshness import Wanted
from meanface.workflow.run import Run

# Not workflow.basedir, because another workflow may import this one.
HERE = internals.folder(workflow)
IS_IMPORTED = internals.is_imported(workflow)

# Snakemake passes Python's path to a shell without quotes, and replaces braces in a path.
for path, unfit in (
    (sys.executable, r"[][\s'\"`$&|;<>()*?\\]"),
    (str(HERE), "[{}]"),
):
    if found := re.search(unfit, path):
        sys.exit(f"meanface: move {path}: Snakemake stumbles over {found[0]!r} in it")

internals.plan_faster()
# A workflow that imports this workflow may need pandas.
if not IS_IMPORTED:
    internals.do_without_pandas()
internals.name_user()

# Identifies this run.
os.environ.setdefault("MEANFACE_RUN", uuid4().hex)


envvars:
    "MEANFACE_RUN",


configfile: f"{HERE}/config/config.yaml"


# A workflow that imports this workflow has its own report.
if not IS_IMPORTED:

    report: "report/workflow.rst"


# For `--sdm apptainer`.
container: f"docker://ghcr.io/meanface/meanface:{__version__}"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/acquire.smk"
include: "rules/divide.smk"
include: "rules/shard.smk"
include: "rules/exclude.smk"
include: "rules/plan.smk"
include: "rules/models.smk"
include: "rules/encode.smk"
include: "rules/merge.smk"
include: "rules/statistics.smk"
include: "rules/pictures.smk"
include: "rules/accuracy.smk"
include: "rules/verify.smk"
include: "rules/compare.smk"
include: "rules/people.smk"
include: "rules/find.smk"
include: "rules/audit.smk"
include: "rules/report.smk"


rule all:
    input:
        "results/mean.npy",
        "results/embeddings.npy",
        *(["results/faces.csv"] if config["faces_csv"] else []),
        "results/faces.parquet",
        "results/failures.csv",
        "results/summary.json",
        "results/statistics.npz",
        "results/identities.csv",
        "results/identities.npy",
        "results/mean_by_identity.npy",
        *(["results/excluded.csv"] if config["exclude"] else []),
    localrule: True


if IN_STORAGE:
    internals.leave_inputs_of_targets(workflow)

RUN = Run(
    workflow,
    config,
    rules.merge.output.summary,
    internals.rule_name(rules.encode),
    photos_of,
    Wanted(
        {name: made_of(name) for name in SOURCES},
        MERGED_FROM,
        str(Path(HERE or "", "sample/sample.tar.gz").resolve()),
        config["replace"],
    ),
    needs_gpu=ENGINE.needs_gpu,
    questions={
        "people": [rules.group_faces],
        "verify": [rules.compare_all_pairs],
        "audit": [rules.audit_faces],
        "find": [rules.shard_query, rules.find_faces],
        "compare": [rules.compare_sets],
        "lfw_accuracy": [rules.score_pairs],
        "report": [rules.report],
    },
)
if internals.is_main_process(workflow):
    RUN.watch()


onstart:
    RUN.start()


onsuccess:
    RUN.succeed()


onerror:
    RUN.fail()
