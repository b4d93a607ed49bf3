"""Fetch the photos and verify them: nothing unverified is ever opened."""


rule download:
    output:
        "results/download/{archive}",
    log:
        "results/logs/download/{archive}.log",
    benchmark:
        "results/benchmarks/download/{archive}.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        urls=SOURCE.urls,
        checksum=SOURCE.checksum,
    message:
        "Downloading {wildcards.archive}"
    script:
        "../scripts/download.py"


rule acquire:
    input:
        archive=ARCHIVE,
    output:
        "results/source.json",
    log:
        "results/logs/acquire.log",
    benchmark:
        "results/benchmarks/acquire.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        folder=FOLDER,
        checksum=SOURCE.checksum,
        listing=folder_listing,
    message:
        "Verifying {input.archive}{params.folder}"
    script:
        "../scripts/acquire.py"
