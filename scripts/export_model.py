"""Export one of dlib's models, or take it from the folder MEANFACE_MODELS, as an image has it."""

import os
import shutil
from pathlib import Path

from meanface.engine.export import export
from meanface.files.atomic import replacing
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    target = Path(snakemake.output[0])
    ready = Path(os.environ.get("MEANFACE_MODELS", ""), target.name)
    if ready.is_file():
        with replacing(target) as part:
            shutil.copyfile(ready, part)
    else:
        export(snakemake.wildcards.model, target)
