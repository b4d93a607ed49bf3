"""Export dlib's models from their packages to files that a worker opens at once."""

from meanface.engine.settings import versions


# One job, because starting a job takes longer than most exports.
rule export_models:
    output:
        MODELS,
    log:
        "results/logs/export_models.log",
    benchmark:
        "results/benchmarks/export_models.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        versions=versions(),
    message:
        "Exporting dlib's models"
    script:
        "../scripts/export_models.py"
