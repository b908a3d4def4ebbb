"""A SLURM for the tests, where there is one or a tool beside the checkout that starts one."""

import shutil
import subprocess
from functools import cache
from importlib.util import find_spec

from checkout import Checkout, beside


@cache
def missing_slurm() -> str:
    """Empty if there is a SLURM that takes jobs in a partition ``gpu`` with GPUs ``gpu:h200``, or else what lacks."""
    starter = beside("shared/tools/start-slurm")
    if shutil.which("sbatch") is None and starter is None:
        return "no SLURM: no sbatch on PATH"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "`make slurm` installs the executor plugin"
    if starter:
        subprocess.run([starter], check=True, capture_output=True)
    found = subprocess.run(["sinfo", "-h", "-p", "gpu", "-o", "%G"], capture_output=True, text=True).stdout
    return "" if "gpu:h200" in found else "this SLURM has no partition gpu with gpu:h200"


def on_slurm(checkout: Checkout, site: str) -> Checkout:
    """Set a checkout up for the cluster, as ``make slurm`` does it."""
    (checkout.root / "profiles" / "slurm" / "site.yaml").write_text(site)
    (checkout.root / "slurm").symlink_to("profiles/slurm")
    return checkout
