"""The parts of the asynchronous engine, each on its own; no Ray here."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ray.exceptions import RayActorError
from scipy import stats

from asynchronous_study import make_spec
from gipo.engines.asynchronous import peers, supervisor
from gipo.engines.asynchronous.inference import Inference
from gipo.engines.asynchronous.offer import Offer
from gipo.engines.asynchronous.processes import ROLLOUT, Process, read_counts
from gipo.engines.asynchronous.replay import ReplayServer
from gipo.engines.asynchronous.rollout import Rollout
from gipo.engines.asynchronous.snapshots import Snapshots
from gipo.errors import GipoError
from gipo.learner import Learner
from gipo.models.mlp import make_model
from gipo.replay import Replay, Segments
from gipo.runs.directory import RunDirectory
from gipo.runs.provenance import origin

NOWHERE = Path("models-that-a-small-network-needs-not")


def process(role):
    """The first process of a role, with files of its own."""
    return Process(Path(tempfile.mkdtemp()), role, 1)


def append(server, worker, collected=None):
    """Store a segment as its worker would: the coroutine."""
    collected = collected or worker.collect()
    worker.segments += 1
    return server.append(collected, worker.episodes, (worker.group, worker.incarnation, worker.segments))


def initial_weights(spec):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_model(spec, 39, 4).state_dict()


class DirectInference:
    """Stands for the peer: the inference of version 3, called without a process between."""

    def __init__(self, spec):
        self.server = Inference(spec, NOWHERE, "cpu", process("inference"))
        self.server.newest = ((0, 3), {name: tensor.numpy() for name, tensor in initial_weights(spec).items()})

    def ask(self, method, observations):
        assert method == "act"
        return self.server._forward(observations)


@pytest.fixture
def worker(tmp_path):
    spec = make_spec()
    worker = Rollout(spec, NOWHERE, 1, 60.0, Process(tmp_path / "processes", "rollout-1", 7))
    worker.inference = DirectInference(spec)
    worker.begin()
    return worker


def segments_of(collected):
    rest = ("versions", "values", "successors")
    return Segments(**{name: torch.from_numpy(array) for name, array in collected.items() if name not in rest})


def test_a_segment_goes_on_where_the_last_one_ended(worker):
    first, second = worker.collect(), worker.collect()
    np.testing.assert_array_equal(first["final_observation"], second["observations"][:, 0])
    assert not first["truncated"].any()
    assert second["truncated"][:, 3].all()  # 12 steps make an episode, 8 a segment
    assert (first["versions"] == 3).all()
    np.testing.assert_array_equal(first["successors"][:, :-1], first["values"][:, 1:])


@pytest.mark.parametrize("bootstraps", [True, False])
def test_targets_from_stored_values_equal_the_learners_at_the_same_weights(worker, tmp_path, bootstraps):
    worker.collect()
    collected = worker.collect()
    assert collected["truncated"].any()
    spec = make_spec(learner={"truncation_bootstraps": bootstraps})
    learner = Learner(spec, Replay(512, 8, 39, 4))
    learner.model.load_state_dict(initial_weights(spec))
    server = ReplayServer(spec, NOWHERE, tmp_path / "replay", process("replay"))
    asyncio.run(append(server, worker, collected))
    stored = [store[: len(collected["rewards"])] for store in (server.store.advantages, server.store.targets)]
    for here, there in zip(stored, learner.targets(segments_of(collected)), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)


def test_recomputed_values_are_those_of_the_newest_weights(worker):
    worker.collect()
    collected = worker.collect()
    stored = {name: collected[name].copy() for name in ("values", "successors")}
    worker._recompute(collected)
    for name, array in stored.items():
        np.testing.assert_allclose(collected[name], array, rtol=1e-4, atol=1e-5)
    _, weights = worker.inference.server.newest
    worker.inference.server.newest = ((0, 4), {name: array + 0.1 for name, array in weights.items()})
    worker._recompute(collected)
    assert np.abs(collected["values"] - stored["values"]).min() > 1e-3


def test_log_probs_of_the_inference_are_the_models():
    spec = make_spec()
    observations = np.random.default_rng(0).normal(size=(6, 39)).astype(np.float32)
    acts = DirectInference(spec).ask("act", observations)
    model = make_model(spec, 39, 4)
    model.load_state_dict(initial_weights(spec))
    logits, values = model(torch.from_numpy(observations))
    expected = torch.distributions.Categorical(logits=logits).log_prob(torch.from_numpy(acts.tokens))
    np.testing.assert_allclose(acts.log_probs, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(acts.values, values.detach().numpy(), rtol=1e-5, atol=1e-6)


class FixedLearner:
    """Stands for the peer: has the weights of version 3, and newer ones only at the end."""

    def __init__(self, spec):
        self.weights = {name: tensor.numpy() for name, tensor in initial_weights(spec).items()}
        self.ended = threading.Event()

    def ask(self, method, newer_than):
        if newer_than >= (0, 3):
            self.ended.wait()
        return (0, 3), self.weights


def serve(requests, most, monkeypatch):
    """Rows of each forward pass, 0.5 s long, for requests of ``(delay, rows)``, each of which gets its own answer."""
    passes = []

    def slow(inference, observations, forward=Inference._forward):
        passes.append(len(observations))
        time.sleep(0.5)
        return forward(inference, observations)

    async def request(inference, delay, rows):
        await asyncio.sleep(delay)
        acts = await inference.act(np.full((rows, 39), delay, np.float32))
        own = inference.actor.model.values(torch.full((rows, 39), delay, dtype=torch.float32))
        np.testing.assert_allclose(acts.values, own.numpy(), rtol=1e-5, atol=1e-6)
        assert acts.version == 3

    async def main():
        inference = Inference(make_spec(asynchronous={"inference_batch": most}), NOWHERE, "cpu", process("inference"))
        inference.learner = learner = FixedLearner(make_spec())
        serving = asyncio.create_task(inference.run())
        while inference.newest[0] == peers.NONE:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(request(inference, *r) for r in requests))
        serving.cancel()
        learner.ended.set()
        assert int(inference.counts["inference_batches"]) == len(passes)

    monkeypatch.setattr(Inference, "_forward", slow)
    asyncio.run(main())
    return passes


def test_a_request_waits_for_no_other(monkeypatch):
    assert serve([(0.0, 2), (1.5, 1)], 8, monkeypatch) == [2, 1]


def test_requests_that_came_during_a_pass_share_the_next_up_to_a_number(monkeypatch):
    assert serve([(0.0, 1), (0.1, 2), (0.15, 2), (0.2, 1)], 4, monkeypatch) == [1, 4, 1]


def test_a_request_of_more_than_that_is_a_pass_of_its_own(monkeypatch):
    assert serve([(0.0, 1), (0.1, 5), (0.15, 2)], 4, monkeypatch) == [1, 5, 2]


async def settled(task):
    """Whether a task has ended after everything else had its turn."""
    for _ in range(20):
        await asyncio.sleep(0)
    return task.done()


def test_both_sides_wait_for_each_other(worker, tmp_path):
    async def main():
        spec = make_spec()
        server = ReplayServer(spec, NOWHERE, tmp_path / "replay", process("replay"))
        per_update = server.pace.env_steps_per_update
        batch = asyncio.create_task(server.sample(0, 1))
        appends = [asyncio.create_task(append(server, worker)) for _ in range(30)]
        assert await settled(batch)
        appended = [await settled(task) for task in appends]
        assert server._env_steps == pytest.approx(64 + per_update + 2 * spec.round_steps, abs=16)
        assert not all(appended)
        batch = asyncio.create_task(server.sample(1, 40))
        assert await settled(batch)
        assert server._env_steps == pytest.approx(64 + 41 * per_update + 2 * spec.round_steps, abs=16)
        starving = asyncio.create_task(server.sample(41, 159))
        [task.cancel() for task in appends]
        assert not await settled(starving)
        starving.cancel()

    asyncio.run(main())


def test_without_a_limit_nobody_waits_after_the_warm_up(worker, tmp_path):
    async def main():
        server = ReplayServer(make_spec(replay={"lifetime": None}), NOWHERE, tmp_path / "replay", process("replay"))
        early = asyncio.create_task(server.sample(0, 1))
        assert not await settled(early)
        for _ in range(4):
            await append(server, worker)
        await early
        await server.sample(1, 150)
        for _ in range(40):
            await append(server, worker)

    asyncio.run(main())


def test_what_a_replay_holds_survives_its_process(worker, tmp_path):
    async def fill(server):
        for _ in range(40):  # 80 segments into 64 slots
            collected = worker.collect()
            await append(server, worker, collected)
        return collected

    spec = make_spec(replay={"lifetime": None})
    server = ReplayServer(spec, NOWHERE, tmp_path / "replay", process("replay"))
    last = asyncio.run(fill(server))
    state = server.store.state()
    del server
    restored = ReplayServer(spec, NOWHERE, tmp_path / "replay", process("replay")).store
    assert restored.intact == range(16, 80)
    for name, value in restored.state().items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(state[name]))
    slots = [number % restored.slots for number in restored.intact[-2:]]
    np.testing.assert_array_equal(restored.segments.rewards[slots].numpy(), last["rewards"])


def test_a_segment_that_was_being_overwritten_is_not_sampled(tmp_path):
    replay = Replay(32, 8, 3, 2, directory=tmp_path)
    empty = Replay(32, 8, 3, 2).segments
    for number in range(5):
        one = Segments(**{name: tensor[:1] for name, tensor in empty.tensors().items()})
        replay.append(one, one.rewards, one.rewards, number)
    assert replay.intact == range(1, 5)
    replay._counts[1] += 1  # as an append does before it writes
    assert Replay(32, 8, 3, 2, directory=tmp_path).intact == range(2, 5)


def test_samples_are_uniform_over_what_is_stored(worker, tmp_path):
    async def main():
        spec = make_spec(replay={"lifetime": None})
        server = ReplayServer(spec, NOWHERE, tmp_path / "replay", process("replay"))
        for number in range(40):
            collected = worker.collect()
            collected["versions"][:] = number
            await append(server, worker, collected)
        return (await server.sample(40, 160))["versions"]

    counts = np.bincount(asyncio.run(main()), minlength=40)
    assert counts[:8].sum() == 0
    assert stats.chisquare(counts[8:]).pvalue > 1e-4


def test_no_version_is_newer_than_a_learner_that_starts_again(worker, tmp_path):
    server = ReplayServer(make_spec(replay={"lifetime": None}), NOWHERE, tmp_path / "replay", process("replay"))
    for version in (2, 9):
        collected = worker.collect()
        collected["versions"][:] = version
        asyncio.run(append(server, worker, collected))
    asyncio.run(server.rewind(5))
    assert server.store.versions.unique().tolist() == [0, 2, 5]


def test_what_a_dead_learner_made_is_not_newer_than_the_update_that_it_is_sampled_for(worker, tmp_path):
    async def main():
        server = ReplayServer(make_spec(replay={"lifetime": None}), NOWHERE, tmp_path / "replay", process("replay"))
        await server.rewind(5)
        for _ in range(5):
            collected = worker.collect()
            collected["versions"][:] = 9  # by an inference that has not heard yet
            await append(server, worker, collected)
        return [(await server.sample(update, 1))["versions"].max() for update in (5, 20)]

    assert asyncio.run(main()) == [5, 9]


def test_weights_of_a_learner_that_started_again_are_newer_though_it_made_fewer_updates():
    offer = Offer(torch.device("cpu"))
    offer.publish((2, 10), {})
    assert offer.newer((1, 50)) == ((2, 10), {})
    waiting = threading.Thread(target=offer.newer, args=((2, 10),), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))],
)
def test_weights_are_those_of_their_version_though_the_learner_goes_on_at_once(device):
    offer, weights = Offer(torch.device(device)), {"w": torch.zeros(2**22, device=device)}
    for update in range(1, 20):
        weights["w"] += 1.0
        offer.publish((0, update), weights)
        weights["w"] += 1000.0  # while they are copied
        weights["w"] -= 1000.0
        version, arrays = offer.newer((0, update - 1))
        assert version == (0, update)
        assert (arrays["w"] == update).all()
    assert not offer.wanted


def test_weights_that_could_not_be_copied_are_told_at_the_next_update(monkeypatch):
    def full(tensor):
        raise RuntimeError("out of memory")

    offer = Offer(torch.device("cpu"))
    monkeypatch.setattr("gipo.engines.asynchronous.offer._to_main_memory", full)
    offer.publish((0, 1), {"w": torch.zeros(1)})
    while not offer.wanted:
        time.sleep(0.01)
    with pytest.raises(RuntimeError, match="out of memory"):
        offer.publish((0, 2), {"w": torch.zeros(1)})


def test_counts_of_dead_processes_are_added_up(tmp_path):
    for incarnation in (9, 10):
        counts = Process(tmp_path, "rollout-1", incarnation).count(ROLLOUT)
        counts["env_steps"] += incarnation
        del counts
    Process(tmp_path, "rollout-10", 11).count(ROLLOUT)["env_steps"] += 1
    assert read_counts(tmp_path, "rollout-1", ROLLOUT)["env_steps"].tolist() == [9, 10]
    assert read_counts(tmp_path, "rollout-2", ROLLOUT)["env_steps"].sum() == 0


def test_a_checkpoint_without_what_the_processes_kept_is_told_and_not_used(tmp_path, monkeypatch):
    def stop(spec):
        raise GipoError("here it would begin")

    run, lines = RunDirectory(tmp_path), []
    run.checkpoint.write_bytes(b"")
    (run.scratch / "snapshots").mkdir(parents=True)
    monkeypatch.setattr(supervisor, "unfinished", lambda *_: {})
    monkeypatch.setattr(supervisor, "cluster", stop)
    machine = supervisor.Machine("cpu", 1, NOWHERE, 60.0, 60.0, 1)
    with pytest.raises(GipoError, match="here it would begin"):
        supervisor._train(make_spec(), machine, supervisor.Kind(), None, run, origin("0" * 64), lines.append)
    assert "starting from update 0" in lines[0]
    assert not run.checkpoint.exists()
    assert not run.scratch.exists()


def test_a_disk_that_is_too_small_is_told_before_anything_runs(tmp_path):
    with pytest.raises(GipoError, match=r"cannot reserve .* GiB for .*observations"):
        Replay(2**40, 8, 2**20, 4, directory=tmp_path)


def policy(number):
    return {"weight": torch.full((2,), float(number))}


def test_snapshots_are_evaluated_in_order_and_kept(tmp_path):
    snapshots = Snapshots(tmp_path)
    for update in (0, 100, 200):
        snapshots.leave(update, 10 * update, policy(update))
    assert not snapshots.is_evaluated(200)
    while taken := snapshots.take():
        snapshots.evaluated(taken, [{"update": int(taken.stem), "return": 1.0}])
    assert snapshots.is_evaluated(200)
    assert [row["update"] for row in snapshots.evaluations()] == [0, 100, 200]


def test_an_evaluator_that_died_leaves_its_snapshot_to_the_next(tmp_path):
    Snapshots(tmp_path).leave(0, 0, policy(0))
    first = Snapshots(tmp_path).take()
    assert Snapshots(tmp_path).take() == first


def test_snapshots_of_a_learner_that_died_are_forgotten(tmp_path):
    snapshots = Snapshots(tmp_path)
    for update in (0, 100, 200):
        snapshots.leave(update, 0, policy(update))
    snapshots.evaluated(snapshots.take(), [{"update": 0}])
    taken = snapshots.take()
    snapshots.forget_after(50)
    snapshots.evaluated(taken, [{"update": 100}])
    assert snapshots.waiting() == []
    assert snapshots.evaluations() == [{"update": 0}]


def test_recomputed_targets_need_the_lockstep_engine():
    with pytest.raises(ValueError, match="needs the lockstep engine"):
        make_spec(learner={"refresh_every": 20})


class FakeRay:
    """Actors of one role that answer who they are, or with the error of a dead one."""

    class util:  # noqa: N801
        names: ClassVar = ["replay#1"]
        list_named_actors = classmethod(lambda cls: cls.names)

    dead: ClassVar = {"replay#1"}

    def get_actor(self, name):
        return SimpleNamespace(who=SimpleNamespace(remote=lambda: name))

    def get(self, name):
        if name in self.dead:
            self.util.names.append("replay#2")
            raise RayActorError
        return name


def test_a_peer_that_died_is_looked_for_again(monkeypatch):
    monkeypatch.setattr(peers, "ray", FakeRay())
    replay = peers.Peer("replay")
    assert [replay.ask("who"), replay.ask("who")] == ["replay#2", "replay#2"]
