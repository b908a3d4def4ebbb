"""The update against a plain re-implementation with separate tensors, and its guard against NaN."""

import copy
import itertools
import math

import pytest
import torch

from gipo.errors import GipoError
from gipo.learner import Learner, schedule
from gipo.replay import Replay, Segments
from gipo.runs.spec import RunSpec

O, D, BINS = 39, 4, 8  # noqa: E741


def make_spec(**learner) -> RunSpec:
    return RunSpec.model_validate(
        {
            "task": "door-open-v3",
            "regime": "stale",
            "method": "m",
            "seed": 3,
            "objective": {"name": "gipo"},
            "environment": {"bins": BINS, "episode_steps": 100},
            "network": {"hidden": 16, "value_hidden": 8},
            "replay": {"capacity": 128, "segment_length": 16, "environments": 2, "group_size": 2},
            "learner": {"updates": 40, "batch_size": 32, "accumulation": 2, "warmup_updates": 4, "policy_start": 0}
            | learner,
        }
    )


def make_segments(count: int = 4, steps: int = 16) -> Segments:
    generator = torch.Generator().manual_seed(1)
    return Segments(
        observations=torch.randn(count, steps, O, generator=generator),
        tokens=torch.randint(0, BINS, (count, steps, D), generator=generator).to(torch.uint8),
        log_probs=-math.log(BINS) + 0.3 * torch.randn(count, steps, D, generator=generator),
        rewards=torch.rand(count, steps, generator=generator),
        terminated=torch.zeros(count, steps, dtype=torch.bool),
        truncated=torch.rand(count, steps, generator=generator) < 0.03,
        final_observation=torch.randn(count, O, generator=generator),
        cut_observation=torch.randn(count, O, generator=generator),
    )


def make_learner(spec: RunSpec) -> Learner:
    """A learner whose replay holds `make_segments`."""
    learner = Learner(spec, Replay(128, 16, O, D))
    segments = make_segments()
    learner.replay.append(segments, *learner.targets(segments), version=0)
    return learner


def plain_update(model, optimizer, objective_loss, replay, index, spec, update):
    """One update as the equations say it, with torch.distributions, clip_grad_norm_ and one optimiser."""
    learner = spec.learner
    optimizer.zero_grad()
    everything = torch.cat([replay.gather(micro).advantages for micro in index])
    mean, deviation = everything.mean(), everything.std(correction=0)
    for micro in index:
        batch = replay.gather(micro)
        logits, values = model(batch.observations)
        distribution = torch.distributions.Categorical(logits=logits)
        advantage = (batch.advantages - mean) / (deviation + 1e-8)
        log_ratio = distribution.log_prob(batch.tokens) - batch.log_probs
        loss = (
            objective_loss(log_ratio, advantage[:, None]).mean()
            + learner.value_coefficient * torch.nn.functional.mse_loss(values, batch.targets)
            - learner.entropy_coefficient * distribution.entropy().mean()
            - learner.kl_coefficient * log_ratio.mean()
        )
        (loss / len(index)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), learner.gradient_clip)
    for group in optimizer.param_groups:
        group["lr"] = learner.policy_learning_rate * schedule(update, spec)
    optimizer.step()


def test_updates_equal_the_plain_implementation():
    spec = make_spec(policy_learning_rate=1e-3, value_learning_rate=1e-3)
    learner, other = make_learner(spec), make_learner(spec)
    replay = learner.replay
    model = other.model
    for parameter in model.parameters():
        parameter.grad = None
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    generator = torch.Generator().manual_seed(2)
    for update in range(20):
        index = torch.randint(0, len(replay), (2, 32), generator=generator)
        learner.update(index)
        plain_update(model, optimizer, other.objective.loss, replay, index, spec, update)
    for ours, theirs in zip(learner.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_before_policy_start_only_the_value_moves():
    learner, index = make_learner(make_spec(policy_start=1, policy_warmup="from-start")), torch.arange(64).view(2, 32)
    before = [p.clone() for p in learner.model.policy_parameters()]
    value_before = [p.clone() for p in learner.model.value_parameters()]
    learner.update(index)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.model.policy_parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(value_before, learner.model.value_parameters(), strict=True))
    learner.update(index)
    assert not all(torch.equal(a, b) for a, b in zip(before, learner.model.policy_parameters(), strict=True))


def test_every_tenth_update_moves_the_policy_if_asked():
    learner, index = (
        make_learner(make_spec(policy_start=2, policy_every=3, policy_warmup="from-start")),
        torch.arange(64).view(2, 32),
    )
    moved = []
    for _ in range(9):
        before = learner.policy.vector.detach().clone()
        learner.update(index)
        moved.append(not torch.equal(before, learner.policy.vector))
    assert moved == [False, False, True, False, False, True, False, False, True]


def test_joint_ratio_is_the_product_over_the_dimensions():
    per_dimension, joint = (make_learner(make_spec(joint_ratio=joint)) for joint in (False, True))
    batch = joint.replay.gather(torch.arange(32))
    advantages = joint.normalised([batch])[0]
    apart, together = per_dimension.losses(batch, advantages), joint.losses(batch, advantages)
    torch.testing.assert_close(together.log_ratios.exp(), apart.log_ratios.exp().prod(dim=1, keepdim=True))
    torch.testing.assert_close(together.kl, apart.kl)


@pytest.mark.parametrize("detach", [True, False])
def test_the_value_trains_the_encoder_only_if_asked(detach):
    spec = make_spec(policy_start=39)
    spec = spec.model_copy(update={"network": spec.network.model_copy(update={"detach_value": detach})})
    learner = make_learner(spec)
    losses = learner.losses(learner.replay.gather(torch.arange(32)), torch.randn(32))
    losses.value.backward()
    assert all(p.grad.any() != detach for p in learner.model.encoder.parameters())


@pytest.mark.parametrize(("spoiled", "words"), [("rewards", "loss_value is nan"), ("log_probs", "loss_policy is nan")])
def test_nan_ends_the_run_with_the_update_and_the_statistic(spoiled, words):
    learner, index = make_learner(make_spec()), torch.arange(64).view(2, 32)
    learner.update(index)
    if spoiled == "rewards":
        learner.replay.targets[0, 5] = math.nan
    else:
        learner.replay.segments.log_probs[2, 1] = math.inf
    learner.check()
    for _ in range(3):
        learner.update(index.flip(0))
    with pytest.raises(GipoError, match=f"update 1: {words}.*door-open-v3/stale/m/seed3"):
        learner.check()


def test_state_restores_the_learner_exactly():
    learner, index = make_learner(make_spec()), torch.arange(64).view(2, 32)
    learner.update(index)
    restored = make_learner(make_spec())
    restored.load_state(copy.deepcopy(learner.state()))
    for one in (learner, restored):
        one.update(index)
    assert all(torch.equal(a, b) for a, b in zip(learner.model.parameters(), restored.model.parameters(), strict=True))


def test_the_time_limit_ends_the_return_unless_it_bootstraps():
    segments = make_segments()
    segments.truncated[:, -1] = True
    bootstrapped = make_learner(make_spec(truncation_bootstraps=True)).targets(segments)[1]
    ended = make_learner(make_spec()).targets(segments)[1]
    torch.testing.assert_close(ended[:, -1], 0.01 * segments.rewards[:, -1])
    assert not torch.isclose(bootstrapped[:, -1], ended[:, -1]).any()


def test_vtrace_targets_use_the_joint_ratio_of_the_current_policy():
    learner = make_learner(make_spec(estimator="vtrace", refresh_every=10))
    segments = make_segments()
    on_policy = Segments(**vars(segments) | {"log_probs": learner._log_probs(segments)})
    advantages, _ = learner.targets(on_policy)
    expected, _ = make_learner(make_spec(gae_lambda=1.0)).targets(segments)
    torch.testing.assert_close(advantages, expected)


def test_schedule_warms_up_then_falls_to_zero():
    spec = make_spec()
    factors = [schedule(update, spec) for update in range(40)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[22] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(factors[4:]))
    assert schedule(40, spec) == pytest.approx(0)


def test_advantages_are_normalised_over_what_the_run_says():
    batches = [make_learner(make_spec()).replay.gather(torch.arange(first, first + 32)) for first in (0, 32)]
    advantages = torch.stack([batch.advantages for batch in batches])
    for scope in ("micro-batch", "update"):
        for deviation in ("sample", "population"):
            learner = make_learner(make_spec(advantage_scope=scope, advantage_deviation=deviation))
            parts = [advantages] if scope == "update" else [advantages[:1], advantages[1:]]
            expected = [(p - p.mean()) / p.flatten().std(correction=int(deviation == "sample")) for p in parts]
            torch.testing.assert_close(learner.normalised(batches), torch.cat(expected))


def test_an_update_of_the_value_alone_is_the_same_with_and_without_the_policy():
    settings = {"policy_every": 5}
    quick, whole = (make_learner(make_spec(**settings)) for _ in range(2))
    index = torch.arange(64).view(2, 32)
    for update in range(5):
        losses, norms = quick.update(index, again=update > 0)
        assert (losses is None) == (update > 0)
        whole.index.copy_(index)
        _, expected = whole.step(whole.set_rates())
        whole.updates += 1
        for name, norm in expected.items():
            torch.testing.assert_close(norms[name], norm)
    for ours, theirs in zip(quick.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_transitions_used_again_are_looked_at_once_with_the_same_result():
    learners = [make_learner(make_spec(policy_every=5)) for _ in range(2)]
    gathered = {}
    for learner, remembers in zip(learners, (True, False), strict=True):
        calls, gather = [], learner.replay.gather
        learner.replay.gather = lambda index, calls=calls, gather=gather: calls.append(1) or gather(index)
        for update in range(10):
            index = torch.arange(64).view(2, 32) + 5 * (update // 5)
            learner.update(index, again=remembers and update % 5 > 0)
        gathered[remembers] = len(calls)
    for ours, theirs in zip(*(learner.model.parameters() for learner in learners), strict=True):
        assert torch.equal(ours, theirs)
    assert gathered == {True: 2 * 2 * 2, False: 2 * 10}  # micro-batches x updates that look


def test_features_are_computed_again_once_the_policy_moved():
    learner = make_learner(make_spec(policy_every=2))
    index = torch.arange(64).view(2, 32)
    learner.update(index)
    learner.update(index, again=True)
    stale = learner._features.clone()
    learner.update(index, again=True)
    learner.update(index, again=True)
    torch.testing.assert_close(
        learner._features[0], learner.model.encoder(learner.replay.gather(index[0]).observations).detach()
    )
    assert not torch.equal(stale, learner._features)


def test_targets_of_a_batch_are_those_of_the_current_model():
    learner = make_learner(
        make_spec(estimator="vtrace", targets="batch", sampling="segments", vtrace_weighted=True, policy_start=0)
    )
    segments = make_segments()
    index = torch.cat([16 * slot + torch.arange(16) for slot in (3, 0)])
    batch = learner._gather(index)
    advantages, value_targets = learner.targets(segments)
    torch.testing.assert_close(batch.advantages, advantages[[3, 0]].flatten())
    torch.testing.assert_close(batch.targets, value_targets[[3, 0]].flatten())
    plain = make_learner(make_spec(estimator="vtrace", refresh_every=1, policy_start=0)).targets(segments)[0]
    joint = (learner._log_probs(segments) - segments.log_probs).sum(-1)
    torch.testing.assert_close(advantages, plain * joint.exp().clamp(max=1))


def test_the_policy_warms_up_from_its_start_where_asked():
    spec = make_spec(policy_start=6, policy_warmup="from-policy-start")
    factors = [schedule(update, spec, start=6) for update in range(12)]
    assert factors[:7] == [0.0] * 7
    assert factors[7:11] == [0.25, 0.5, 0.75, 1.0]
    without = make_spec(policy_start=6, warmup_updates=0)
    assert [schedule(update, without, start=6) for update in (5, 6)] == [0.0, 1.0]


RELEASED = {"uses": 10, "policy_every": 10, "schedule": "round", "warmup_updates": 1000, "updates": 99_900}


def test_the_schedule_by_rounds_is_the_released_scripts():
    """Its iteration 0 collects only; learning rates are those of the iteration, out of 1,000."""
    replay = {"capacity": 20_000, "segment_length": 500, "environments": 1, "group_size": 1, "warmup_steps": 500}
    spec = RunSpec(
        **{"task": "t", "regime": "r", "method": "m", "seed": 0, "objective": {"name": "gipo"}},
        replay=replay | {"lifetime": 4000 / 99_900},
        learner=RELEASED | {"accumulation": 1, "policy_start": 0},
    )
    for update, iteration in ((0, 1), (99, 1), (100, 2), (899, 9), (900, 10), (50_000, 501), (99_899, 999)):
        rises, falls = iteration / 10, 0.5 * (1 + math.cos(math.pi * (iteration - 10) / 990))
        assert schedule(update, spec) == pytest.approx(min(rises, 1.0) if iteration < 10 else falls)
