"""Encode the planned photos of one shard into embeddings and a table of outcomes."""


rule encode:
    input:
        # Ancient, because only the planned contents count: a new file time alone must not encode
        # the shard again.
        tar=ancient("results/shards/{shard}.tar"),
        manifest=ancient("results/shards/{shard}.csv"),
        duplicates=ancient("results/plan/duplicates.csv"),
        # Not ancient, because Snakemake would then skip due shards while a model is exported.
        models=MODELS,
    # The key identifies engine and planned contents, so a change of either gives new paths.
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
        # No gpu=0 without a GPU: Kubernetes could then place the pod on a node reserved for GPUs.
        **({"gpu": 1, "gpu_mb": config["gpu_mb"]} if ENGINE.device == "cuda" else {}),
        mem_mb=memory_for(ENGINE),
        batch=config["batch"],
        cache=config["cache"],
    params:
        engine=ENGINE,
        seconds=config["max_seconds"],
    message:
        "Encoding shard {wildcards.shard}"
    script:
        "../scripts/encode.py"
