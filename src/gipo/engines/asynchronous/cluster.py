"""Ray for one run: the cluster that ``RAY_ADDRESS`` names, else one of its own that nobody outside can reach."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import RayError

from gipo.engines.asynchronous.ray_folder import ray_folder
from gipo.errors import GipoError
from gipo.runs.spec import RunSpec


@contextmanager
def cluster(spec: RunSpec) -> Iterator[None]:
    """Ray, with names of this run's own.

    A cluster of its own listens on 127.0.0.1 only, and asks for a token that lies in the environment only.

    Raises:
        GipoError: it does not start, or fails during the body.
    """
    own: dict[str, Any] = {}
    ray_constants.ENABLE_RAY_CLUSTER = "RAY_ADDRESS" in os.environ  # else Ray takes the loopback, as on other systems
    if "RAY_ADDRESS" not in os.environ:
        own = {"include_dashboard": False, "num_cpus": 1}  # as many idle processes are started beforehand
        own["_temp_dir"] = str(ray_folder())
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would keep one in the user's home
    try:
        ray.init(namespace=spec.digest(), log_to_driver=False, configure_logging=False, **own)
    except Exception as error:  # a node that does not come up in time raises nothing more specific
        raise GipoError(f"Ray did not start for run {spec.run_id}: {error}") from error
    try:
        yield
    except RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise GipoError(
            f"Ray failed in run {spec.run_id}: {reason}; start it again to go on from its checkpoint"
        ) from error
    finally:
        ray.shutdown()
