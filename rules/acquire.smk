"""Fetch the photos and verify them: nothing unverified is ever opened."""


rule download:
    output:
        without_excluded("results/download/{source}/{archive}"),
    log:
        "results/logs/download/{source}/{archive}.log",
    benchmark:
        "results/benchmarks/download/{source}/{archive}.tsv"
    localrule: True
    conda:
        "../envs/meanface.yaml"
    params:
        urls=lambda wildcards: SOURCES[wildcards.source].urls,
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
    # With files in storage, perhaps only the controller reaches the photos. So acquire, divide and
    # shard run there.
    localrule: IN_STORAGE
    conda:
        "../envs/meanface.yaml"
    params:
        folder=folder_of,
        checksum=checksum_of,
        made_of=lambda wildcards: made_of(wildcards.source),
    message:
        "Verifying {input.archive}{params.folder}"
    script:
        "../scripts/acquire.py"
