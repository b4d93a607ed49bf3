"""Export dlib's networks from their weights package to ONNX."""

MODELS = expand("results/models/{model}.onnx", model=ENGINE.models)


rule export_model:
    output:
        "results/models/{model}.onnx",
    log:
        "results/logs/export_model/{model}.log",
    benchmark:
        "results/benchmarks/export_model/{model}.tsv"
    wildcard_constraints:
        model="encoder|detector",
    conda:
        "../envs/meanface.yaml"
    message:
        "Exporting the {wildcards.model} to ONNX"
    script:
        "../scripts/export_model.py"
