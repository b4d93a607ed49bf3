"""Split the photos of a source, or of one part of a large source, into shards by path."""


rule shard:
    input:
        archive=ancient(undivided),
        source="results/sources/{source}.json",
        part=part_of,
    output:
        **(receipt("results/excluded/{source}-{part}.json") if len(PARTS) == 1 else {}),
        tars=with_pixels(
            expand("results/shards/{{source}}-{{part}}{number}.tar", number=NUMBERS)
        ),
        manifests=expand(
            "results/shards/{{source}}-{{part}}{number}.csv", number=NUMBERS
        ),
        # One file per part, so that plan does not need one input per shard.
        contents="results/contents/{source}-{part}.csv",
        counts="results/shards/{source}-{part}.json",
    log:
        "results/logs/shard/{source}-{part}.log",
    benchmark:
        "results/benchmarks/shard/{source}-{part}.tsv"
    localrule: IN_STORAGE
    conda:
        "../envs/meanface.yaml"
    resources:
        cache=config["cache"],
    params:
        folder=folder_of,
        prefix=prefix_of,
        reading=READING,
        exclude=EXCLUDE,
        parts=len(PARTS),
    message:
        "Splitting {input.archive}{params.folder}{input.part} into shards"
    script:
        "../scripts/shard.py"
