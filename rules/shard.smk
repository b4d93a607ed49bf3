"""Split the photos into shards by their paths."""


checkpoint shard:
    input:
        archive=ancient(ARCHIVE),
        source="results/source.json",
    output:
        tars=expand("results/shards/{shard}.tar", shard=SHARDS),
        manifests=expand("results/shards/{shard}.csv", shard=SHARDS),
        digests=expand("results/shards/{shard}.sha256", shard=SHARDS),
        counts="results/shards/counts.json",
    log:
        "results/logs/shard.log",
    benchmark:
        "results/benchmarks/shard.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        folder=FOLDER,
        suffixes=config["suffixes"],
        max_bytes=config["max_bytes"],
    message:
        "Splitting {input.archive}{params.folder} into shards"
    script:
        "../scripts/shard.py"
