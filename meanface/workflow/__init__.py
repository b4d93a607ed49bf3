"""Code that runs beside Snakemake: configuration, jobs, logs, integrity, progress, summary."""
