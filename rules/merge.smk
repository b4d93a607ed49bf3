"""Merge the shards into the mean, the embeddings and the tables."""


rule merge:
    input:
        unpack(outcomes),
        skipped=expand(
            (
                "results/shards/{source}-0.json"
                if len(PARTS) == 1
                else "results/parts/{source}.json"
            ),
            source=SOURCES,
        ),
        sources=expand("results/sources/{source}.json", source=SOURCES),
        models=MODELS,
    output:
        **({"faces": "results/faces.csv"} if config["faces_csv"] else {}),
        mean="results/mean.npy",
        embeddings="results/embeddings.npy",
        parquet=(
            directory("results/faces.parquet")
            if config["file_rows"]
            else "results/faces.parquet"
        ),
        failures="results/failures.csv",
        summary="results/summary.json",
    log:
        "results/logs/merge.log",
        # A log, because Snakemake removes the outputs of a job that fails.
        failures="results/logs/failures.csv",
    benchmark:
        "results/benchmarks/merge.tsv"
    conda:
        "../envs/meanface.yaml"
    resources:
        cache=config["cache"],
    params:
        engine=ENGINE,
        made_of=MERGED_FROM,
        # A record for the summary. A key that decides a result is also a param of its own.
        config=internals.untracked(dict(sorted(config.items()))),
    message:
        "Merging the shards"
    script:
        "../scripts/merge.py"
