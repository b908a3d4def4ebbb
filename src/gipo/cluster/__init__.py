"""A SLURM cluster: its site file, what jobs ask it for, and a doctor that checks it before anything runs."""
