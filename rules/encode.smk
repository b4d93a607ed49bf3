"""Encode what is planned for one shard: photos become embeddings and a table of outcomes."""


rule encode:
    input:
        # Ancient: what is planned is what counts, so that a shard with the same contents as before
        # is not encoded anew.
        tar=ancient("results/shards/{shard}.tar"),
        manifest=ancient("results/shards/{shard}.csv"),
        duplicates=ancient("results/plan/duplicates.csv"),
        # Not ancient: Snakemake would leave out shards that are due while a model is exported.
        models=MODELS,
    # The key names the engine and the planned contents: outcomes of others have other paths.
    output:
        embeddings="results/encoded/{shard}.{key}.npy",
        outcomes="results/encoded/{shard}.{key}.csv",
        counts="results/encoded/{shard}.{key}.json",
    log:
        "results/logs/encode/{shard}.{key}.log",
    benchmark:
        "results/benchmarks/encode/{shard}.{key}.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    resources:
        # Not gpu=0: that would let a pod of Kubernetes onto the nodes that are for GPUs alone.
        **({"gpu": 1} if ENGINE.device == "cuda" else {}),
        mem_mb=memory,
        batch=config["batch"],
        cache=config["cache"],
    params:
        engine=ENGINE,
        seconds=config["max_seconds"],
    message:
        "Encoding shard {wildcards.shard}"
    script:
        "../scripts/encode.py"
