"""Export dlib's models from their packages to files that a worker opens at once."""

from meanface.engine.settings import versions


rule export_model:
    output:
        "results/models/{model}.{suffix}",
    log:
        "results/logs/export_model/{model}.{suffix}.log",
    benchmark:
        "results/benchmarks/export_model/{model}.{suffix}.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        versions=versions(),
    message:
        "Exporting {wildcards.model}"
    script:
        "../scripts/export_model.py"
