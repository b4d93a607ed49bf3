"""Plan which shard encodes which content: identical photos are encoded once."""


# A checkpoint: which shards changed is asked after it has run, see planned_for.
checkpoint plan:
    input:
        CONTENTS,
    output:
        shards="results/plan/shards.csv",
        duplicates="results/plan/duplicates.csv",
    log:
        "results/logs/plan.log",
    benchmark:
        "results/benchmarks/plan.tsv"
    localrule: IN_STORAGE
    conda:
        "../envs/meanface.yaml"
    message:
        "Planning what to encode"
    script:
        "../scripts/plan.py"
