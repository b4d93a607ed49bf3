"""Compare all pairs of named photos: false match and false non-match rates per threshold."""


rule verify:
    input:
        "results/verification.csv",
        "results/verification.json",
        drawn(["results/pictures/det.png", "results/pictures/det.svg"]),
    localrule: True


rule compare_all_pairs:
    input:
        groups=groups_file,
        faces="results/faces.parquet",
        failures="results/failures.csv",
        summary="results/summary.json",
        embeddings="results/embeddings.npy",
    output:
        table="results/verification.csv",
        summary="results/verification.json",
    log:
        "results/logs/compare_all_pairs.log",
    benchmark:
        "results/benchmarks/compare_all_pairs.tsv"
    localrule: IN_STORAGE  # a pod does not see the files of the controller
    conda:
        "../envs/meanface.yaml"
    message:
        "Comparing all pairs of named photos"
    script:
        "../scripts/verify.py"


rule plot_det:
    input:
        table="results/verification.csv",
        summary="results/verification.json",
    output:
        png="results/pictures/det.png",
        svg=report(
            "results/pictures/det.svg",
            caption="../report/det.rst",
            category="Verification",
            labels={"figure": "Error rates of all pairs"},
        ),
    log:
        "results/logs/plot_det.log",
    benchmark:
        "results/benchmarks/plot_det.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the DET curve"
    script:
        "../scripts/plot_det.py"
