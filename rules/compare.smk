"""Compare the results with the results of another run."""


rule compare:
    input:
        "results/comparison.csv",
        "results/comparison.json",
        drawn(["results/pictures/comparison.png", "results/pictures/comparison.svg"]),
    localrule: True


rule compare_sets:
    input:
        unpack(other_files),
        summary="results/summary.json",
        statistics="results/statistics.npz",
        faces="results/faces.parquet",
        embeddings="results/embeddings.npy",
        contents=CONTENTS,
    output:
        table="results/comparison.csv",
        summary="results/comparison.json",
    log:
        "results/logs/compare_sets.log",
    benchmark:
        "results/benchmarks/compare_sets.tsv"
    localrule: IN_STORAGE  # a pod does not see the files of the controller
    conda:
        "../envs/meanface.yaml"
    message:
        "Comparing with {input.other_summary}"
    script:
        "../scripts/compare.py"


rule plot_comparison:
    input:
        unpack(other_files),
        comparison="results/comparison.json",
        statistics="results/statistics.npz",
        embeddings="results/embeddings.npy",
    output:
        png="results/pictures/comparison.png",
        svg=report(
            "results/pictures/comparison.svg",
            caption="../report/comparison.rst",
            category="Embeddings",
            labels={"figure": "Comparison with another set"},
        ),
    log:
        "results/logs/plot_comparison.log",
    benchmark:
        "results/benchmarks/plot_comparison.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the comparison"
    script:
        "../scripts/plot_comparison.py"
