"""Write the receipt of `exclude`: how many photos each line excluded, without their names."""


rule receipt:
    input:
        counts=expand(
            (
                "results/excluded/{source}-0.json"
                if len(PARTS) == 1
                else "results/excluded/{source}.json"
            ),
            source=SOURCES,
        ),
    output:
        "results/excluded.csv",
    log:
        "results/logs/receipt.log",
    benchmark:
        "results/benchmarks/receipt.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        exclude=EXCLUDE,
    message:
        "Counting the excluded photos"
    script:
        "../scripts/write_excluded.py"
