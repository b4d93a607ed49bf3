"""Group the faces into persons, without names."""


rule people:
    input:
        "results/people.csv",
        "results/people.json",
    localrule: True


rule group_faces:
    input:
        embeddings="results/embeddings.npy",
        faces="results/faces.parquet",
    output:
        people="results/people.csv",
        report="results/people.json",
    log:
        "results/logs/group_faces.log",
    benchmark:
        "results/benchmarks/group_faces.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    params:
        same_person=config["same_person"],
    message:
        "Grouping the faces into persons"
    script:
        "../scripts/group_faces.py"
