"""What runs beside Snakemake: configuration, jobs, logs, integrity, progress, the end of a run."""
