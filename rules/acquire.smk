"""Fetch the photos and verify them: nothing unverified is ever opened."""


rule download:
    output:
        with_pixels("results/download/{source}/{archive}"),
    log:
        "results/logs/download/{source}/{archive}.log",
    benchmark:
        "results/benchmarks/download/{source}/{archive}.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        urls=urls_of,
        checksum=checksum_of,
    message:
        "Downloading {wildcards.archive}"
    script:
        "../scripts/download.py"


rule acquire:
    input:
        archive=archive_of,
    output:
        "results/sources/{source}.json",
    log:
        "results/logs/acquire/{source}.log",
    benchmark:
        "results/benchmarks/acquire/{source}.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        folder=folder_of,
        checksum=checksum_of,
        state=state_of_source,
        # Another number of shards has new outputs, which alone make Snakemake do nothing.
        shards=len(PARTS) * len(NUMBERS),
    message:
        "Verifying {input.archive}{params.folder}"
    script:
        "../scripts/acquire.py"
