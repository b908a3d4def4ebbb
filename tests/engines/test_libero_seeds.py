"""The seed of a LIBERO run reaches every weight that the run trains."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from factories import make_libero_spec
from libero_needs import skip_without_libero

skip_without_libero()

from gipo.engines.suites.libero import make_view  # noqa: E402
from gipo.models.openvla_oft.tiny import write_tiny  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pretrained models with a tiny one."""
    directory = tmp_path_factory.mktemp("pretrained")
    write_tiny(directory / "tiny-random" / "seed-0", 0)
    return directory


def first_weights(pretrained: Path, seed: int, drawn_before: int) -> dict[str, Tensor]:
    """What the learner of a run starts from, in a process that has used its own random numbers."""
    torch.manual_seed(drawn_before)
    openvla = {"repository": "tiny-random", "revision": "seed-0", "rank": 4}
    spec = make_libero_spec("libero_spatial_0", "stale", "gipo-1-1", seed, openvla)
    return make_view(spec, pretrained).make_learner(SimpleNamespace(device=torch.device("cpu"))).weights()


def test_two_processes_start_from_the_same_weights_and_two_seeds_do_not(pretrained: Path):
    one, again, other = (first_weights(pretrained, *seeds) for seeds in ((0, 1), (0, 2), (1, 1)))
    assert one.keys() == again.keys()
    for name, weight in one.items():
        assert torch.equal(weight, again[name]), name
    differ = {name for name, weight in one.items() if not torch.equal(weight, other[name])}
    lora = {name for name in one if "lora_A" in name}
    assert lora
    assert lora <= differ
    assert any("value_head" in name for name in differ)
