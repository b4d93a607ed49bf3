"""Write the report: one page that needs no network, and no package that draws."""


rule report:
    input:
        unpack(shown_photos),
        unpack(scored_pairs),
        unpack(wanted_beside("people", "verify", "audit", "find")),
        summary="results/summary.json",
        faces="results/faces.parquet",
        failures="results/failures.csv",
        identities="results/identities.csv",
        embeddings="results/embeddings.npy",
        identity_means="results/identities.npy",
        statistics="results/statistics.npz",
        counts=encode_counts,
    output:
        page="results/report.html",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        engine=ENGINE,
        deduplicate=config["deduplicate"],
        paths=config["paths"],
        beside=found_beside("people", "verify", "audit", "find"),
    message:
        "Writing the report"
    script:
        "../scripts/write_report.py"
