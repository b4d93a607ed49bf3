"""Draw the results. Pictures are drawn from the tables; three pictures also show photos."""


rule pictures:
    input:
        drawn(picture_files()),
    localrule: True


rule plot_mean_face:
    input:
        faces="results/faces.parquet",
        tars=ancient(shard_tars),
        models=MODELS,
    output:
        png=report(
            "results/pictures/mean_face.png",
            caption="../report/mean_face.rst",
            category="Mean",
            labels={"figure": "Mean face"},
        ),
        svg="results/pictures/mean_face.svg",
    log:
        "results/logs/plot_mean_face.log",
    benchmark:
        "results/benchmarks/plot_mean_face.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        engine=ENGINE,
        deduplicate=config["deduplicate"],
        paths=config["paths"],
    message:
        "Averaging faces"
    script:
        "../scripts/plot_mean_face.py"


rule plot_extremes:
    input:
        faces="results/faces.parquet",
        tars=ancient(shard_tars),
    output:
        png=report(
            "results/pictures/extremes.png",
            caption="../report/extremes.rst",
            category="Embeddings",
            labels={"figure": "Nearest and farthest faces"},
        ),
        svg="results/pictures/extremes.svg",
    log:
        "results/logs/plot_extremes.log",
    benchmark:
        "results/benchmarks/plot_extremes.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        engine=ENGINE,
        paths=config["paths"],
    message:
        "Drawing the faces nearest to the mean and farthest from it"
    script:
        "../scripts/plot_extremes.py"


rule plot_failures:
    input:
        failures="results/failures.csv",
        summary="results/summary.json",
        tars=ancient(shard_tars),
    output:
        png=report(
            "results/pictures/failures.png",
            caption="../report/failures.rst",
            category="Run",
            labels={"figure": "Failed photos"},
        ),
        svg="results/pictures/failures.svg",
    log:
        "results/logs/plot_failures.log",
    benchmark:
        "results/benchmarks/plot_failures.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        engine=ENGINE,
        paths=config["paths"],
    message:
        "Drawing the photos that failed"
    script:
        "../scripts/plot_failures.py"


rule plot_dimensions:
    input:
        statistics="results/statistics.npz",
    output:
        png="results/pictures/dimensions.png",
        svg=report(
            "results/pictures/dimensions.svg",
            caption="../report/dimensions.rst",
            category="Appendix",
            labels={"figure": "The 128 means"},
        ),
    log:
        "results/logs/plot_dimensions.log",
    benchmark:
        "results/benchmarks/plot_dimensions.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the 128 means"
    script:
        "../scripts/plot_dimensions.py"


rule plot_settling:
    input:
        faces="results/faces.parquet",
        embeddings="results/embeddings.npy",
        statistics="results/statistics.npz",
    output:
        table="results/pictures/settling.csv",
        png="results/pictures/settling.png",
        svg=report(
            "results/pictures/settling.svg",
            caption="../report/settling.rst",
            category="Mean",
            labels={"figure": "How the mean settles"},
        ),
    log:
        "results/logs/plot_settling.log",
    benchmark:
        "results/benchmarks/plot_settling.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        deduplicate=config["deduplicate"],
    message:
        "Drawing how the mean settles"
    script:
        "../scripts/plot_settling.py"


rule plot_distances:
    input:
        faces="results/faces.parquet",
    output:
        png="results/pictures/distances.png",
        svg=report(
            "results/pictures/distances.svg",
            caption="../report/distances.rst",
            category="Embeddings",
            labels={"figure": "Distances to the mean"},
        ),
    log:
        "results/logs/plot_distances.log",
    benchmark:
        "results/benchmarks/plot_distances.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the distances to the mean"
    script:
        "../scripts/plot_distances.py"


rule plot_map:
    input:
        faces="results/faces.parquet",
        embeddings="results/embeddings.npy",
        statistics="results/statistics.npz",
    output:
        html=report(
            "results/pictures/map.html",
            caption="../report/map.rst",
            category="Embeddings",
            labels={"figure": "Map to hover over"},
        ),
        png="results/pictures/map.png",
        svg=report(
            "results/pictures/map.svg",
            caption="../report/map.rst",
            category="Embeddings",
            labels={"figure": "Map to print"},
        ),
    log:
        "results/logs/plot_map.log",
    benchmark:
        "results/benchmarks/plot_map.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        paths=config["paths"],
    message:
        "Drawing the map of the embeddings"
    script:
        "../scripts/plot_map.py"


rule plot_detectors:
    input:
        summary="results/summary.json",
    output:
        png="results/pictures/detectors.png",
        svg=report(
            "results/pictures/detectors.svg",
            caption="../report/detectors.rst",
            category="Run",
            labels={"figure": "Detectors and reasons"},
        ),
    log:
        "results/logs/plot_detectors.log",
    benchmark:
        "results/benchmarks/plot_detectors.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the detectors' shares"
    script:
        "../scripts/plot_detectors.py"


rule plot_speed:
    input:
        counts=encode_counts,
    output:
        png="results/pictures/speed.png",
        svg=report(
            "results/pictures/speed.svg",
            caption="../report/speed.rst",
            category="Run",
            labels={"figure": "Photos per second"},
        ),
    log:
        "results/logs/plot_speed.log",
    benchmark:
        "results/benchmarks/plot_speed.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        paths=config["paths"],
    message:
        "Drawing the photos per second"
    script:
        "../scripts/plot_speed.py"


rule overview:
    input:
        summary="results/summary.json",
        statistics="results/statistics.npz",
        identities="results/identities.csv",
        faces="results/faces.parquet",
    output:
        numbers="results/pictures/overview.json",
        text="results/pictures/overview.rst",
    log:
        "results/logs/overview.log",
    benchmark:
        "results/benchmarks/overview.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        paths=config["paths"],
    message:
        "Writing the report's overview"
    script:
        "../scripts/write_overview.py"
