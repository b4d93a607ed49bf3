"""Find the faces that are nearest to the faces of query photos."""

from dataclasses import replace

# All faces of a query are searched for, which a GPU does not do.
QUERY_ENGINE = replace(ENGINE.on_processor(), face="all")


rule find:
    input:
        "results/find.csv",
        "results/find.json",
        found_sheet,
    localrule: True


rule shard_query:
    output:
        tar=with_pixels("results/query/query.tar"),
        manifest="results/query/query.csv",
    log:
        "results/logs/shard_query.log",
    benchmark:
        "results/benchmarks/shard_query.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        query=lambda wildcards: query_state(),
        reading=READING,
    message:
        "Reading the query photos"
    script:
        "../scripts/shard_query.py"


rule encode_query:
    input:
        tar="results/query/query.tar",
        manifest="results/query/query.csv",
        models=MODELS,
    output:
        embeddings="results/query/embeddings.npy",
        outcomes="results/query/outcomes.csv",
    log:
        "results/logs/encode_query.log",
    benchmark:
        "results/benchmarks/encode_query.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory_for(QUERY_ENGINE),
        batch=config["batch"],
    params:
        engine=QUERY_ENGINE,
        seconds=config["max_seconds"],
    message:
        "Encoding the query photos"
    script:
        "../scripts/encode_query.py"


rule index_faces:
    input:
        embeddings="results/embeddings.npy",
    output:
        index="results/index.npz",
    log:
        "results/logs/index_faces.log",
    benchmark:
        "results/benchmarks/index_faces.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    message:
        "Indexing the faces"
    script:
        "../scripts/index_faces.py"


rule find_faces:
    input:
        unpack(wanted_beside("people", "verify")),
        manifest="results/query/query.csv",
        query="results/query/embeddings.npy",
        outcomes="results/query/outcomes.csv",
        index="results/index.npz",
        embeddings="results/embeddings.npy",
        faces="results/faces.parquet",
        failures="results/failures.csv",
    output:
        table="results/find.csv",
        summary="results/find.json",
    log:
        "results/logs/find_faces.log",
    benchmark:
        "results/benchmarks/find_faces.tsv"
    conda:
        "../envs/meanface.yaml"
    threads: config["threads"]
    params:
        beside=found_beside("people", "verify"),
    message:
        "Searching for the query faces"
    script:
        "../scripts/find_faces.py"


rule plot_find:
    input:
        table="results/find.csv",
        manifest="results/query/query.csv",
        query="results/query/embeddings.npy",
        outcomes="results/query/outcomes.csv",
        tar="results/query/query.tar",
        faces="results/faces.parquet",
        tars=ancient(shard_tars),
    output:
        png=report(
            "results/pictures/find.png",
            caption="../report/find.rst",
            category="People",
            labels={"figure": "Faces nearest to a query"},
        ),
        svg="results/pictures/find.svg",
    log:
        "results/logs/plot_find.log",
    benchmark:
        "results/benchmarks/plot_find.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        engine=ENGINE,
        paths=config["paths"],
    message:
        "Drawing the faces found"
    script:
        "../scripts/plot_find.py"
