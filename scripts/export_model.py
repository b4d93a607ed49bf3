"""Export one of dlib's models, or take it from the folder MEANFACE_MODELS, as an image has it."""

import os
import shutil
from pathlib import Path

from meanface.files import replacing
from meanface.job import job
from meanface.models import export

with job(snakemake.log[0], snakemake.output):
    target = Path(snakemake.output[0])
    ready = Path(os.environ.get("MEANFACE_MODELS", ""), target.name)
    if ready.is_file():
        with replacing(target) as part:
            shutil.copyfile(ready, part)
    else:
        export(snakemake.wildcards.model, target)
