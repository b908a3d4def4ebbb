"""``snakemake --logger gipo``: Snakemake finds its logger plugins by the name of their package."""

from gipo.console.handler import LogHandler

__all__ = ["LogHandler"]
