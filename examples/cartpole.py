"""Actor and critic on CartPole that learn from a replay by GIPO's loss: three rollouts in four are of older policies.

`python examples/cartpole.py` takes less than a minute on one core; it needs gymnasium beside gipo.
"""

from collections import deque
from typing import NamedTuple

import gymnasium as gym
import torch
from torch import Tensor, nn

from gipo import diagnostics, objectives, targets

ENVS, STEPS, CAPACITY, ITERATIONS, UPDATES = 8, 64, 4, 60, 8


class Rollout(NamedTuple):
    """Tensors [ENVS, STEPS], but observations [ENVS, STEPS + 1, 4]; a step that only resets does not count."""

    observations: Tensor
    actions: Tensor
    log_mu: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    counts: Tensor


def collect(envs, observation, over, policy):
    """A rollout, the observation after it, and which episodes are over: their next step only resets."""
    steps, observations = [], [torch.from_numpy(observation)]
    for _ in range(STEPS):
        distribution = torch.distributions.Categorical(logits=policy(observations[-1]))
        action = distribution.sample()
        observation, reward, terminated, truncated, _ = envs.step(action.numpy())
        flags = (torch.from_numpy(flag) for flag in (terminated, truncated, ~over))
        steps.append((action, distribution.log_prob(action), torch.from_numpy(reward).float(), *flags))
        observations.append(torch.from_numpy(observation))
        over = terminated | truncated
    columns = (torch.stack(column, dim=1) for column in zip(*steps, strict=True))
    return Rollout(torch.stack(observations, dim=1), *columns), observation, over


def train(seed: int = 0, iterations: int = ITERATIONS) -> list[float]:
    """Mean return of the last twenty episodes after every iteration."""
    torch.manual_seed(seed)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("CartPole-v1", ENVS), buffer_length=20)
    policy, value = (nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, size)) for size in (2, 1))
    optimizer = torch.optim.Adam([*policy.parameters(), *value.parameters()], lr=2e-3)
    objective = objectives.make("gipo", sigma_pos=1.0, sigma_neg=1.0)
    replay, returns = deque(maxlen=CAPACITY), []
    observation, over = envs.reset(seed=seed)[0], torch.zeros(ENVS, dtype=torch.bool).numpy()
    for iteration in range(iterations):
        with torch.no_grad():
            rollout, observation, over = collect(envs, observation, over, policy)
        replay.append(rollout)
        for _ in range(UPDATES):
            old = replay[torch.randint(len(replay), ())]
            values = value(old.observations).squeeze(-1)
            transitions = (old.rewards, values[:, :-1].detach(), values[:, 1:].detach(), old.terminated, old.truncated)
            advantages, value_targets = targets.gae(*transitions, gamma=0.99, lam=0.95)
            advantages = (advantages - advantages[old.counts].mean()) / advantages[old.counts].std()
            pi = torch.distributions.Categorical(logits=policy(old.observations[:, :-1]))
            log_ratio = pi.log_prob(old.actions) - old.log_mu
            losses = objective.loss(log_ratio, advantages) + 0.5 * (values[:, :-1] - value_targets) ** 2
            optimizer.zero_grad()
            (losses - 0.01 * pi.entropy())[old.counts].mean().backward()
            optimizer.step()
        returns.append(sum(envs.return_queue) / max(1, len(envs.return_queue)))
        if iteration % 10 == 9:
            tails = diagnostics.ratio_tails(log_ratio.detach(), mask=old.counts)
            print(f"iteration {iteration + 1}: return {returns[-1]:.0f}, d95 of the last batch {tails['d95']:.2f}")
    return returns


if __name__ == "__main__":
    torch.set_num_threads(1)
    train()
