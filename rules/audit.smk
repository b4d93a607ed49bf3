"""Look for errors in the set: wrong names, split persons, near-duplicates, strange faces."""


rule audit:
    input:
        "results/audit.csv",
        "results/audit.json",
    localrule: True


rule audit_faces:
    input:
        unpack(shown_photos),
        embeddings="results/embeddings.npy",
        faces="results/faces.parquet",
    output:
        table="results/audit.csv",
        summary="results/audit.json",
    log:
        "results/logs/audit_faces.log",
    benchmark:
        "results/benchmarks/audit_faces.tsv"
    localrule: IN_STORAGE
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    params:
        engine=ENGINE,
        same_person=config["same_person"],
    message:
        "Looking for errors in the set"
    script:
        "../scripts/audit_faces.py"
