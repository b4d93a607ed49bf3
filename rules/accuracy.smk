"""Score the embeddings on pairs of photos: do they tell persons apart?"""


rule lfw_accuracy:
    input:
        "results/accuracy/lfw.json",
        "results/accuracy/roc.csv",
        drawn(["results/accuracy/roc.png", "results/accuracy/roc.svg"]),
    localrule: True


rule score_pairs:
    input:
        pairs=pairs_file,
        faces="results/faces.parquet",
        failures="results/failures.csv",
        embeddings="results/embeddings.npy",
    output:
        accuracy="results/accuracy/lfw.json",
        roc="results/accuracy/roc.csv",
    log:
        "results/logs/score_pairs.log",
    benchmark:
        "results/benchmarks/score_pairs.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Scoring the pairs of {input.pairs}"
    script:
        "../scripts/lfw_accuracy.py"


rule plot_roc:
    input:
        accuracy="results/accuracy/lfw.json",
        roc="results/accuracy/roc.csv",
    output:
        png="results/accuracy/roc.png",
        svg=report("results/accuracy/roc.svg", category="Verification"),
    log:
        "results/logs/plot_roc.log",
    benchmark:
        "results/benchmarks/plot_roc.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    message:
        "Drawing the ROC curve"
    script:
        "../scripts/plot_roc.py"
