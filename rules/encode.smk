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
    output:
        embeddings="results/encoded/{shard}.npy",
        outcomes="results/encoded/{shard}.csv",
        counts="results/encoded/{shard}.json",
    log:
        "results/logs/encode/{shard}.log",
    benchmark:
        "results/benchmarks/encode/{shard}.tsv"
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
        planned=name_of_planned,
        engine=ENGINE,
        fingerprint=ENGINE.fingerprint(),
        seconds=config["max_seconds"],
    message:
        "Encoding shard {wildcards.shard}"
    script:
        "../scripts/encode.py"
