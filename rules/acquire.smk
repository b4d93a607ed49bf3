"""Fetch the photos and verify them: nothing unverified is ever opened."""

from functools import cache

from meanface.acquire import folder_listing_digest


def archive_path():
    """The archive as a file of the workflow; none where the photos are a folder."""
    if SOURCE.urls:
        return [f"results/download/{SOURCE.name}"]
    return [] if SOURCE.path.is_dir() else [str(SOURCE.path)]


@cache
def folder_listing():
    """What tells a changed folder from an unchanged one; compared at every run."""
    return folder_listing_digest(SOURCE.path) if SOURCE.path and SOURCE.path.is_dir() else None


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
        archive_path(),
    output:
        "results/source.json",
    log:
        "results/logs/acquire.log",
    benchmark:
        "results/benchmarks/acquire.tsv"
    conda:
        "../envs/meanface.yaml"
    params:
        path=str(SOURCE.path) if SOURCE.path else archive_path()[0],
        checksum=SOURCE.checksum,
        listing=lambda wildcards: folder_listing(),
    message:
        "Verifying {params.path}"
    script:
        "../scripts/acquire.py"
