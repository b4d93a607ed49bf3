"""Plan which shard encodes which content: identical photos are encoded once."""


# A checkpoint: which shards changed is asked after it has run. What encode waits for is the digest
# of its contents, so that a shard with the same contents as before is not encoded anew.
checkpoint plan:
    input:
        manifests=expand("results/shards/{shard}.csv", shard=SHARDS),
    output:
        contents=expand("results/plan/{shard}.txt", shard=SHARDS),
        digests=expand("results/plan/{shard}.sha256", shard=SHARDS),
    log:
        "results/logs/plan.log",
    benchmark:
        "results/benchmarks/plan.tsv"
    conda:
        "../envs/meanface.yaml"
    message:
        "Planning what to encode"
    script:
        "../scripts/plan.py"
