"""Divide a large source into parts, which are split into shards in parallel; see shards.layout."""


rule divide:
    input:
        archive=ancient(archive_of),
        source="results/sources/{source}.json",
    output:
        # Only for several parts: otherwise Snakemake would look for a source called photos-0.
        **(receipt("results/excluded/{source}.json") if len(PARTS) > 1 else {}),
        tars=temp(expand("results/parts/{{source}}-{part}.tar", part=PARTS)),
        manifests=temp(expand("results/parts/{{source}}-{part}.csv", part=PARTS)),
        counts="results/parts/{source}.json",
    log:
        "results/logs/divide/{source}.log",
    benchmark:
        "results/benchmarks/divide/{source}.tsv"
    localrule: IN_STORAGE
    conda:
        "../envs/meanface.yaml"
    resources:
        cache=config["cache"],
    params:
        folder=folder_of,
        prefix=prefix_of,
        reading=READING,
        exclude=EXCLUDE,
    message:
        "Dividing {input.archive}{params.folder} into parts"
    script:
        "../scripts/divide.py"
