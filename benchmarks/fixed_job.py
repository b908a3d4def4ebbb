"""Wall time of one fixed training job, end to end: the suite against a plain script that does the same work.

    python benchmarks/fixed_job.py [out.csv]

The job: door-open-v3, 2,048 env steps in segments of 64, then as the data come in 300 updates of the paper's network on
a batch of 512 x 1, GIPO (1, 1), GAE, AdamW, clipped gradients, no evaluation (it is switched off in both). Ours is
`gipo.engines.lockstep.train` in this process, with the run directory that it writes. The other is `plain_script`, as a
single-file reinforcement learning script is usually written: `gymnasium.make` with its wrappers, one environment, one
inference call per step, `torch.distributions.Categorical`, autograd all through, AdamW as it comes, a list as replay,
losses logged by `.item()`. Both start with the libraries imported and make their own environments and network. One
thread each, in turn; on the CPU, and with the learner on the GPU if there is one.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from unittest.mock import patch

import gymnasium
import metaworld  # noqa: F401  registers the environments
import numpy as np
import torch
from torch.distributions import Categorical

from gipo.engines import lockstep
from gipo.engines.suites.network import NetworkSuite
from gipo.envs.metaworld import ACTION_DIMENSIONS, OBSERVATION_SIZE
from gipo.envs.sawyer import fast_class, goals
from gipo.learner import schedule
from gipo.models.mlp import make_model
from gipo.runs.spec import RunSpec
from timing import device_name, devices, in_turn, publish

RUN = RunSpec(
    **{"task": "door-open-v3", "regime": "stale", "method": "gipo-1-1", "seed": 0},
    objective={"name": "gipo", "parameters": {"sigma_pos": 1.0, "sigma_neg": 1.0}},
    # 512 steps before the first update, then 300 updates on 1,024 more; the last 512 come in meanwhile
    replay={"capacity": 2048, "environments": 8, "group_size": 8, "warmup_steps": 512, "lifetime": 2.0},
    learner={"updates": 300, "accumulation": 1, "warmup_updates": 10, "policy_start": 0},
    evaluation={"every": 300, "episodes": 1},
)
ENV_STEPS, SEGMENT, ROUNDS = 2048, RUN.replay.segment_length, 3
NO_EVALUATION = [{"episode": 0, "return": 0.0, "success_any": False, "success_last": False}]


def ours(device: torch.device) -> None:
    goals.cache_clear()  # as `gymnasium.make` draws them for every environment
    fast_class.cache_clear()  # and settles the arm in every reset
    with tempfile.TemporaryDirectory() as directory, patch.object(NetworkSuite, "evaluate", return_value=NO_EVALUATION):
        lockstep.train(RUN, Path(directory), device=device.type, tell=lambda line: None)


def plain_script(device: torch.device) -> list[dict[str, float]]:
    settings, bins = RUN.learner, RUN.environment.bins
    env = gymnasium.make("Meta-World/MT1", env_name=RUN.task, seed=0)
    model = make_model(RUN, OBSERVATION_SIZE, ACTION_DIMENSIONS).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.policy_learning_rate)
    rng = np.random.default_rng(0)
    replay, segment, log = [], [], []
    observation, _ = env.reset()
    for step in range(1, ENV_STEPS + 1):
        with torch.no_grad():
            logits, value = model(torch.tensor(observation, dtype=torch.float32, device=device)[None])
            policy = Categorical(logits=logits)
            token = policy.sample()
            log_prob = policy.log_prob(token)
        token, log_prob = token[0].cpu().numpy(), log_prob[0].cpu().numpy()
        following, reward, terminated, truncated, _ = env.step(-1 + 2 * token / (bins - 1))
        segment.append([observation, token, log_prob, value.item(), reward * settings.reward_scale, terminated])
        observation = env.reset()[0] if terminated or truncated else following
        if len(segment) == SEGMENT or terminated or truncated:
            with torch.no_grad():
                last = torch.tensor(following, dtype=torch.float32, device=device)[None]
                following_value = model.values(last).item()
            advantage = 0.0
            for row in reversed(segment):
                value, reward, ended = row[3:]
                delta = reward + settings.gamma * following_value * (not ended) - value
                advantage = delta + settings.gamma * settings.gae_lambda * advantage * (not ended)
                following_value = value
                row[3:] = [advantage, advantage + value]
            replay += segment
            segment = []
        while len(log) < settings.updates * min(1.0, (step - 512) / 1024) and replay:
            for group in optimizer.param_groups:
                group["lr"] = settings.policy_learning_rate * schedule(len(log), RUN)
            rows = [replay[i] for i in rng.integers(len(replay), size=settings.batch_size)]
            columns = [np.stack([row[i] for row in rows]) for i in range(5)]
            observations, tokens, old, advantages, targets = (
                torch.tensor(column, dtype=torch.int64 if i == 1 else torch.float32, device=device)
                for i, column in enumerate(columns)
            )
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            logits, values = model(observations)
            policy = Categorical(logits=logits)
            log_ratio = policy.log_prob(tokens) - old
            ratio = log_ratio.exp()
            weight = torch.exp(-(log_ratio.detach() ** 2) / 2)
            policy_loss = -(weight * ratio * advantages[:, None]).mean()
            value_loss = ((values - targets) ** 2).mean()
            entropy, kl = policy.entropy().mean(), -log_ratio.mean()
            loss = policy_loss + settings.value_coefficient * value_loss
            loss = loss - settings.entropy_coefficient * entropy + settings.kl_coefficient * kl
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            logged = {"policy": policy_loss, "value": value_loss, "entropy": entropy, "kl": kl, "norm": norm}
            log.append({name: statistic.item() for name, statistic in logged.items()})
    env.close()
    return log


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = []
    for device in devices():
        calls = {"ours": lambda d=device: ours(d), "plain": lambda d=device: plain_script(d)}
        times = in_turn(calls, ROUNDS, device=device)
        medians = {f"{name}_seconds": times[name].median() for name in calls}
        ratio = (times["plain"] / times["ours"]).median()
        rows.append({"device": device_name(device), **medians, "ratio": ratio})
    publish(rows)


if __name__ == "__main__":
    main()
