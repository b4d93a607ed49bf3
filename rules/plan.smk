"""Plan which shard encodes which content: identical photos are encoded once."""


# A checkpoint, because only the finished plan says which shards changed; see `outcomes`.
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
