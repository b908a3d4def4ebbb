"""The console of ``snakemake`` during a study: a line for each training run, and how long the study still takes."""
