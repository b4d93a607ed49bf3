"""Merge the shards into the mean, the embeddings and the tables."""


def split_shards(wildcards):
    """Ask for the shards' results only once the split is known, so that only what changed runs."""
    checkpoints.shard.get()
    return {
        "manifests": expand("results/shards/{shard}.csv", shard=SHARDS),
        "embeddings": expand("results/encoded/{shard}.npy", shard=SHARDS),
        "faces": expand("results/encoded/{shard}.faces.csv", shard=SHARDS),
        "failures": expand("results/encoded/{shard}.failures.csv", shard=SHARDS),
        "counts": expand("results/encoded/{shard}.json", shard=SHARDS),
    }


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
