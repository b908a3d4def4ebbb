"""The replicated learner: several processes make the update that one makes, and the loss is the small learner's."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from gipo import replicated
from gipo.engines.suites import make_suite
from gipo.models.openvla_oft.layout import Layout
from gipo.models.openvla_oft.packed import PackedPolicy
from gipo.models.openvla_oft.policy import OpenVLAOFTPolicy
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.prompts import prompt_ids, read_tokenizer
from gipo.models.openvla_oft.tiny import write_tiny
from gipo.replay import Batch
from gipo.replicated import ReplicatedLearner, in_passes
from gipo.runs.spec import RunSpec

UPDATES = 5
SPEC = RunSpec(
    task="libero_goal_7",
    regime="stale",
    method="gipo",
    seed=0,
    objective={"name": "gipo", "parameters": {"sigma_pos": 0.5, "sigma_neg": 0.5}},
    suite="libero",
    openvla={"repository": "tiny", "revision": "seed0", "rank": 4},
    asynchronous={},
    learner={
        "updates": 100,
        "batch_size": 4,
        "accumulation": 2,
        "policy_start": 1,
        "warmup_updates": 0,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
    },
)


class Source:
    """The share of one of so many processes of made-up micro-batches, two of four transitions an update."""

    device = torch.device("cpu")

    def __init__(self, rank, processes):
        self.rank, self.processes = rank, processes
        self.draw(0)

    def draw(self, update):
        generator = torch.Generator().manual_seed(update)

        def normal(*shape):
            return torch.randn(8, *shape, generator=generator)

        observations = torch.randint(0, 256, (8, Layout(1).size), generator=generator, dtype=torch.uint8)
        observations[:, -33:-1], observations[:, -1] = 0, torch.arange(8) % 2
        batch = Batch(
            observations=observations,
            tokens=torch.randint(0, 256, (8, 56), generator=generator),
            log_probs=-5.5 + 0.3 * normal(56),
            advantages=normal(),
            targets=normal(),
            versions=torch.zeros(8, dtype=torch.int64),
        )
        share = 4 // self.processes
        mine = torch.arange(8).view(2, 4)[:, self.rank * share : (self.rank + 1) * share].flatten()
        self.batch = Batch(**{name: tensor[mine] for name, tensor in batch.tensors().items()})
        self.index = torch.arange(len(mine)).view(2, share)

    def gather(self, index):
        return Batch(**{name: tensor[index] for name, tensor in self.batch.tensors().items()})


def make_learner(directory, source):
    torch.manual_seed(0)
    policy = OpenVLAOFTPolicy(load(directory, dtype=torch.float32), rank=4)
    prompts = [prompt_ids(read_tokenizer(directory), text) for text in ("turn on the stove", "open the drawer")]
    return ReplicatedLearner(SPEC, PackedPolicy(policy, Layout(1), prompts, proprio=False), source)


def train(directory, rank, processes, updates=range(UPDATES), state=None):
    """Losses and norms of every update, and the learner's state after them."""
    source = Source(rank, processes)
    learner = make_learner(directory, source)
    if state:
        learner.load_state(copy.deepcopy(state))
    rows = []
    for update in updates:
        source.draw(update)
        losses, norms = learner.update(source.index)
        rows.append([float(x) for x in (losses.policy, losses.value, losses.kl, *norms.values())])
    learner.check()
    return torch.tensor(rows), learner.state()


def work(rank, processes, directory, out, updates, state):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}.rendezvous", rank=rank, world_size=processes)
    result = train(directory, rank, processes, updates, state)
    if rank == 0:
        torch.save(result, out)
    dist.destroy_process_group()


def in_two_processes(directory, out, updates=range(UPDATES), state=None):
    mp.spawn(work, (2, directory, out, updates, state), nprocs=2)
    return torch.load(out)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    write_tiny(path)
    return path


@pytest.fixture(scope="module")
def alone(directory):
    return train(directory, 0, 1)


def assert_same(actual, expected):
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-4, atol=1e-5)
    assert actual[1]["model"].keys() == expected[1]["model"].keys()
    for name, tensor in expected[1]["model"].items():
        torch.testing.assert_close(actual[1]["model"][name], tensor, rtol=1e-3, atol=2e-5)


class Kept:
    """Bytes that the forward pass keeps for the backward pass, weights not counted."""

    def __init__(self, model):
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.storages = {}

    def keep(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.storages[storage.data_ptr()] = storage.nbytes(), tensor  # alive, or its place would be another's
        return tensor

    @property
    def bytes(self):
        return sum(size for size, _ in self.storages.values())


def test_activations_that_are_computed_again_need_less_memory_and_give_the_same_updates(directory, tmp_path):
    (tmp_path / "tiny").symlink_to(directory.parent)
    found = {}
    for again in (False, True):
        openvla = {"repository": "tiny", "revision": directory.name, "rank": 4, "recompute_activations": again}
        content = SPEC.model_dump() | {"task": "libero_goal", "openvla": openvla}
        source = Source(0, 1)
        learner = make_suite(RunSpec.model_validate(content), tmp_path).make_learner(source)
        rows = []
        for update in range(3):
            source.draw(update)
            kept = Kept(learner.model)
            with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
                losses, norms = learner.update(source.index)
            rows.append([float(x) for x in (losses.policy, losses.value, losses.kl, *norms.values())])
        found[again] = rows, learner.weights(), kept.bytes
    assert found[True][0] == found[False][0]
    for name, tensor in found[False][1].items():
        assert torch.equal(found[True][1][name], tensor), name
    assert found[True][2] < 0.6 * found[False][2]


@pytest.mark.slow
def test_two_processes_make_the_updates_of_one(alone, directory, tmp_path):
    assert_same(in_two_processes(directory, tmp_path / "result"), alone)


@pytest.mark.slow
def test_a_checkpoint_of_one_process_goes_on_in_two_and_back(alone, directory, tmp_path):
    _, state = train(directory, 0, 1, range(2))
    _, state = in_two_processes(directory, tmp_path / "result", range(2, 4), state)
    rows, state = train(directory, 0, 1, range(4, UPDATES), state)
    assert_same((rows, state), (alone[0][4:], alone[1]))


@pytest.mark.parametrize(
    ("micro_batches", "size", "expected"),
    [(21, 2, 7), (21, 12, 1), (21, 6, 3), (21, 20, 1), (2, 4, 2), (4, 6, 2)],
    ids=["six GPUs", "one GPU", "two GPUs", "one that is too large", "all at once", "a divisor of four"],
)
def test_micro_batches_share_passes_of_equal_size(micro_batches, size, expected):
    passes = in_passes(micro_batches, size)
    covered = [number for together in passes for number in range(together.start, together.stop)]
    assert covered == list(range(micro_batches))
    assert {together.stop - together.start for together in passes} == {expected}


def test_how_many_share_a_pass_is_arithmetic_only(alone, directory, monkeypatch):
    monkeypatch.setattr(replicated, "MOST_AT_ONCE", 4)  # one micro-batch in each pass
    assert_same(train(directory, 0, 1), alone)


def test_the_first_update_moves_the_value_alone(directory):
    before = make_learner(directory, Source(0, 1)).weights()
    after = train(directory, 0, 1, range(1))[1]["model"]
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if "value_head" in name}


def test_gradients_are_those_of_the_sum_of_the_parts(directory):
    source = Source(0, 1)
    learner = make_learner(directory, source)
    batches = [source.gather(positions) for positions in source.index]
    parts = list(zip(batches, learner.normalised(batches), strict=True))
    whole = sum(learner.total(learner.losses(batch, advantages), True) for batch, advantages in parts) / 2
    gradients = torch.autograd.grad(whole, learner.model.policy_parameters())
    learner.updates = 1
    _, norms = learner.update(source.index)
    norm = torch.sqrt(sum(gradient.square().sum() for gradient in gradients))
    torch.testing.assert_close(norms["grad_norm_policy"], norm, rtol=1e-4, atol=1e-6)
