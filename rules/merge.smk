"""Merge the shards into the mean, the embeddings and the tables."""


rule merge:
    input:
        unpack(split_shards),
        split="results/shards/counts.json",
        source="results/source.json",
        models=ancient(MODELS),
    output:
        mean="results/mean.npy",
        embeddings="results/embeddings.npy",
        faces="results/faces.csv",
        failures="results/failures.csv",
        summary="results/summary.json",
    log:
        "results/logs/merge.log",
    benchmark:
        "results/benchmarks/merge.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        config=config,
        fingerprint=ENGINE.fingerprint(),
    message:
        "Merging the shards"
    script:
        "../scripts/merge.py"
