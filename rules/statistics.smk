"""Describe the embeddings: moments, persons, and the mean in which each person counts once."""


rule statistics:
    input:
        embeddings="results/embeddings.npy",
        faces="results/faces.parquet",
        mean="results/mean.npy",
    output:
        statistics="results/statistics.npz",
        identities="results/identities.csv",
        identity_means="results/identities.npy",
        mean_by_identity="results/mean_by_identity.npy",
    log:
        "results/logs/statistics.log",
    benchmark:
        "results/benchmarks/statistics.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        deduplicate=config["deduplicate"],
    message:
        "Describing the embeddings"
    script:
        "../scripts/write_statistics.py"
