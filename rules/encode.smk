"""Encode one shard: its photos become embeddings, faces and failures."""


rule encode:
    input:
        # The digest of the manifest is what counts: a shard that is split anew with the same
        # photos is not encoded anew.
        digest="results/shards/{shard}.sha256",
        tar=ancient("results/shards/{shard}.tar"),
        manifest=ancient("results/shards/{shard}.csv"),
        models=ancient(MODELS),
    output:
        embeddings="results/encoded/{shard}.npy",
        faces="results/encoded/{shard}.faces.csv",
        failures="results/encoded/{shard}.failures.csv",
        counts="results/encoded/{shard}.json",
    log:
        "results/logs/encode/{shard}.log",
    benchmark:
        "results/benchmarks/encode/{shard}.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    resources:
        # Decoding and turning a photo takes up to 26 bytes per pixel, all else 500 MB.
        mem_mb=500 + 26 * config["max_pixels"] * config["threads"] // 1000000,
        gpu=int(ENGINE.device == "cuda"),
    params:
        engine=ENGINE,
        fingerprint=ENGINE.fingerprint(),
    message:
        "Encoding shard {wildcards.shard}"
    script:
        "../scripts/encode.py"
