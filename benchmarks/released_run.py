"""Wall time of the first iterations of a run of scale `released`: the suite against a plain script of the same work.

    python benchmarks/released_run.py [out.csv]

The work: button-press-topdown-v3, GIPO (1, 1), 20 iterations. Each collects 500 env steps, and all but the first make
100 updates of the paper's network: ten batches of 512 transitions without replacement, each used ten times, the first
time for the policy too, with exact KL. Ours is `gipo.engines.lockstep.train` in this process, with the run directory
that it writes. The other is `plain_script`, as a single-file script is usually written and as the authors' is: one
inference call per step, `torch.distributions.Categorical`, the whole network forwards and backwards in every use, a
deque of transitions that is stacked for every batch, statistics logged by `.item()`. Neither evaluates. One thread, in
turn, on the CPU.
"""

from __future__ import annotations

import tempfile
import warnings
from collections import deque
from pathlib import Path
from unittest.mock import patch

import gymnasium
import metaworld  # noqa: F401  registers the environments
import numpy as np
import torch
from torch.distributions import Categorical, kl_divergence

from gipo.engines import lockstep
from gipo.engines.suites.network import NetworkSuite
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.envs.sawyer import fast_class, goals
from gipo.learner import schedule
from gipo.models.mlp import make_model
from gipo.runs.spec import RunSpec
from gipo.study import Study
from timing import device_name, in_turn, publish

SCALE = Path(__file__).parents[1] / "workflow" / "config" / "released.yaml"
ITERATIONS, ROUNDS = 20, 3
NO_EVALUATION = [{"episode": 0, "return": 0.0, "success_any": False, "success_last": False}]


def released_run() -> RunSpec:
    """The scale's own run but for its length; the replay is replaced in as many updates."""
    run = Study.load(SCALE).run("button-press-topdown-v3", "stale", "gipo-1-1", 22)
    updates = int(run.updates_per_round) * (ITERATIONS - 1)
    changes = {
        "learner": run.learner.model_dump() | {"updates": updates},
        "replay": run.replay.model_dump() | {"lifetime": run.lifetime_updates / updates},
        "evaluation": {"every": updates, "episodes": 1},
    }
    return RunSpec.model_validate(run.model_dump() | changes)


def ours(run: RunSpec) -> None:
    goals.cache_clear()  # as `gymnasium.make` draws them for every environment
    fast_class.cache_clear()  # and settles the arm in every reset
    with tempfile.TemporaryDirectory() as directory, patch.object(NetworkSuite, "evaluate", return_value=NO_EVALUATION):
        lockstep.train(run, Path(directory), tell=lambda line: None)


def plain_script(run: RunSpec) -> list[dict[str, float]]:
    settings = run.learner
    env = gymnasium.make("Meta-World/MT1", env_name=run.task, seed=0)
    model = make_model(run, OBSERVATION_SIZE, ACTION_DIMENSIONS)
    groups = [{"params": model.policy_parameters()}, {"params": model.value_parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)
    rng = np.random.default_rng(0)
    replay: deque[list] = deque(maxlen=run.replay.capacity)
    log: list[dict[str, float]] = []
    for iteration in range(ITERATIONS):
        replay.extend(collect(run, env, model))
        if iteration == 0:
            continue
        rates = settings.policy_learning_rate, settings.value_learning_rate
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(len(log), run)
        for _ in range(int(run.updates_per_round) // settings.uses):
            log += learn_from_batch(run, model, optimizer, replay, rng)
    env.close()
    return log


def collect(run: RunSpec, env: gymnasium.Env, model: torch.nn.Module) -> list[list]:
    """An episode, each row observation, token, logits, advantage, value target."""
    settings, rows = run.learner, []
    observation, _ = env.reset()
    for _ in range(run.replay.segment_length):
        with torch.no_grad():
            logits, value = model(torch.tensor(observation, dtype=torch.float32)[None])
            token = Categorical(logits=logits).sample()[0].numpy()
        following, reward, *_ = env.step(-1 + 2 * token / (run.environment.bins - 1))
        rows.append([observation, token, logits[0].numpy(), value.item(), reward * settings.reward_scale])
        observation = following
    advantage = following_value = 0.0
    for row in reversed(rows):
        value, reward = row[3:]
        advantage = reward + settings.gamma * following_value - value + settings.gamma * settings.gae_lambda * advantage
        following_value = value
        row[3:] = [advantage, advantage + value]
    return rows


def learn_from_batch(run: RunSpec, model, optimizer, replay, rng) -> list[dict[str, float]]:
    """All uses of one batch."""
    settings, log = run.learner, []
    everything = list(replay)
    chosen = rng.choice(len(everything), size=min(settings.batch_size, len(everything)), replace=False)
    columns = [np.stack([everything[i][column] for i in chosen]) for column in range(5)]
    observations, tokens, old_logits, advantages, targets = (
        torch.tensor(column, dtype=torch.int64 if i == 1 else torch.float32) for i, column in enumerate(columns)
    )
    advantages = ((advantages - advantages.mean()) / (advantages.std(unbiased=False) + 1e-8))[:, None]
    behaviour = Categorical(logits=old_logits)
    old = behaviour.log_prob(tokens)
    for use in range(settings.uses):
        logits, values = model(observations)
        policy = Categorical(logits=logits)
        log_ratio = policy.log_prob(tokens) - old
        ratio, entropy = log_ratio.exp(), policy.entropy().mean()
        policy_loss = -(torch.exp(-(log_ratio.detach() ** 2) / 2) * ratio * advantages).mean()
        value_loss = ((values - targets) ** 2).mean()
        loss = settings.value_coefficient * value_loss
        if use == 0:
            kl = kl_divergence(behaviour, policy).mean()
            loss = loss + policy_loss - settings.entropy_coefficient * entropy + settings.kl_coefficient * kl
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        optimizer.step()
        outside = ((ratio - 1).abs() > 0.2).float().mean()
        explained = 1 - torch.var(targets - values) / torch.var(targets)
        logged = {"policy": policy_loss, "value": value_loss, "entropy": entropy, "norm": norm}
        logged |= {"approximate_kl": -log_ratio.mean(), "outside": outside, "explained": explained}
        log.append({name: statistic.item() for name, statistic in logged.items()})
    return log


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    run = released_run()
    calls = {"ours": lambda: ours(run), "plain": lambda: plain_script(run)}
    times = in_turn(calls, ROUNDS)
    seconds = {f"{name}_seconds": times[name].median() / ITERATIONS for name in calls}
    ratio = (times["plain"] / times["ours"]).median()
    publish([{"device": device_name(torch.device("cpu")), **seconds, "ratio": ratio}])


if __name__ == "__main__":
    main()
