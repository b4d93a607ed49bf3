"""Split the photos of a source into shards by their paths."""


rule shard:
    input:
        archive=ancient(archive_of),
        source="results/sources/{source}.json",
    output:
        tars=with_pixels(
            expand("results/shards/{{source}}-{number}.tar", number=NUMBERS)
        ),
        manifests=expand("results/shards/{{source}}-{number}.csv", number=NUMBERS),
        counts="results/shards/{source}.json",
    log:
        "results/logs/shard/{source}.log",
    benchmark:
        "results/benchmarks/shard/{source}.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        folder=folder_of,
        prefix=prefix_of,
        suffixes=config["suffixes"],
        max_bytes=config["max_bytes"],
        max_total_bytes=config["max_total_bytes"],
        max_ratio=config["max_ratio"],
    message:
        "Splitting {input.archive}{params.folder} into shards"
    script:
        "../scripts/shard.py"
