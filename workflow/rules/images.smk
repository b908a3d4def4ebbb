"""Apptainer images: one for each lock, on a common base, each named by its content.

    snakemake --sdm apptainer              every job in the image of its rule; images that are missing are built first
    snakemake images                       build all images

The digest in a name is of the definition, the lock, the build of torch and the image below, so Snakemake sees a change
of these as other software and runs what rests on it again. An image holds the package too, for its command line, but
jobs run the code of this checkout: a source edit changes no image.

Images are no inputs of other rules. One that was deleted would make all that was ever computed in it stale as soon as a
single job needs it again. So they are built when a workflow starts (`build_missing`), by the rules in containers.smk.
"""

import hashlib
import os
import shlex
import subprocess
import sys

from snakemake.settings.types import DeploymentMethod

from gipo.errors import shortened

PARENTS = {
    "base": None,
    "metaworld": "base",
    "report": "base",
    "libero": "metaworld",
}
"""Images, and the one that each is built on."""

CONTAINERS = Path(workflow.basedir, "containers")
BASE = config.get("base")
IN_IMAGES = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
ON_GPU = "--nv" in workflow.deployment_settings.apptainer_args
TORCH = config.get("torch", "pypi" if ON_GPU else "cpu")

if TORCH not in ("cpu", "pypi"):
    raise WorkflowError(f"torch is {shortened(repr(TORCH), 100)}, expected cpu or pypi")
if BASE and not re.fullmatch(
    r"docker://[\w./:-]+@sha256:[0-9a-f]{64}|https?://\S+", BASE
):
    raise WorkflowError(
        f"base is {shortened(repr(BASE), 200)}, expected docker://IMAGE@sha256:DIGEST or a Debian mirror"
    )

BUILD = shlex.join(
    ["python", str(CONTAINERS / "build.py"), "--torch", TORCH]
    + (["--from", BASE] if BASE else [])
)


def image(name):
    """Where an image lies, relative to the working directory."""
    return f"results/images/{name}-{image_digest(name)}.sif"


def image_digest(name):
    """Digest of what an image is made from; where the base is fetched from does not count."""
    digest = hashlib.sha256()
    files = [CONTAINERS / f"{name}.def"]
    if PARENTS[name]:
        files += [
            CONTAINERS / "install.sh",
            *(
                Path(workflow.basedir, "envs", f"{lock}.lock")
                for lock in ("build", "torch", "cuda", name)
            ),
        ]
        digest.update(f"{image_digest(PARENTS[name])} {TORCH}\n".encode())
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()[:8]


def build_missing(dag):
    """Build the images that jobs need and that are not there, in a workflow of their own."""
    if not IN_IMAGES:
        return
    urls = {
        job.container_img_url for job in dag.needrun_jobs() if job.container_img_url
    }
    missing = sorted(url for url in urls if not Path(url).exists())
    if missing:
        command = [sys.executable, "-m", "snakemake", *missing, "--cores", "all"]
        command += ["--snakefile", workflow.main_snakefile, "--config"]
        settings = {"scale": SCALE, "torch": TORCH} | ({"base": BASE} if BASE else {})
        command += [f"{key}={value}" for key, value in settings.items()]
        if subprocess.run(command).returncode:
            raise WorkflowError(f"could not build {', '.join(missing)}")


def prepend(variable, value, separator):
    """Put a value before those of an environment variable."""
    values = [str(value), os.environ.get(variable)]
    os.environ[variable] = separator.join(filter(None, values))


if IN_IMAGES:
    # What jobs find in their image: this checkout, and its package before the image's own. The PYTHONPATH of this
    # machine stays outside; a module of yours is brought in by APPTAINERENV_PYTHONPATH.
    prepend("APPTAINER_BIND", workflow.basedir, ",")
    prepend("APPTAINERENV_PYTHONPATH", Path(workflow.basedir, "src"), ":")

IMAGES = {Path(image(name)).stem: name for name in PARENTS}
"""Images by their name with digest."""


def parent(wildcards):
    """The image below."""
    below = PARENTS[IMAGES[wildcards.image]]
    return ancient(image(below)) if below else []
