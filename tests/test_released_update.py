"""The update against numbers that the authors' released script computed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from checkout import beside
from gipo import targets
from gipo.learner import Learner
from gipo.replay import Replay, Segments
from gipo.runs.spec import RunSpec

OBJECTIVES = {"ppo": "ppo_clip", "sapo": "sapo", "gipo": "gipo"}


@pytest.fixture(scope="session")
def golden() -> Path:
    named = os.environ.get("GIPO_FIXTURES")
    fixtures = Path(named) if named else beside("shared/fixtures")
    if not fixtures or not (fixtures / "released_update").is_dir():
        pytest.skip("no released_update in $GIPO_FIXTURES or ../shared/fixtures")
    return fixtures / "released_update"


def names() -> list[str]:
    return ["ppo", "sapo", "gipo-1-1", "gipo-1-0.5", "gipo-0.2-0.1", "gipo-laplacian", "gipo-cauchy"]


def make_spec(settings: dict, name: str) -> RunSpec:
    objective = settings["settings"][name]
    kind = OBJECTIVES[objective["objective"]]
    parameters = {
        "ppo_clip": {"eps": settings["clip_eps"]},
        "sapo": {"tau_pos": 1.0, "tau_neg": 2.0},
        "gipo": {key: objective[key] for key in ("sigma_pos", "sigma_neg", "kernel")},
    }[kind]
    rounds, uses = settings["rounds"], settings["reuse"]
    return RunSpec(
        **{"task": "reach-v3", "regime": "released", "method": name, "seed": settings["seed"]},
        objective={"name": kind, "parameters": parameters},
        environment={"bins": settings["bins"]},
        network={"hidden": settings["hidden"], "value_hidden": settings["value_hidden"]},
        replay={
            **{"capacity": 3000, "segment_length": 500, "environments": 1, "group_size": 1, "warmup_steps": 3000},
            **{"lifetime": 6.0, "rounds": "in-turn"},
        },
        learner={
            **{"updates": rounds * uses, "batch_size": settings["batch"], "accumulation": 1, "warmup_updates": 0},
            **{"uses": uses, "policy_every": settings["actor_every"], "policy_start": 0, "sampling": "distinct"},
            **{"policy_learning_rate": settings["policy_learning_rate"]},
            **{"value_learning_rate": settings["value_learning_rate"], "weight_decay": settings["weight_decay"]},
            **{"value_coefficient": settings["c_value"], "entropy_coefficient": settings["c_entropy"]},
            **{"kl_coefficient": settings["c_kl"], "kl": "exact", "gradient_clip": settings["gradient_clip"]},
            **{"advantage_deviation": "population", "gamma": settings["gamma"], "gae_lambda": settings["lam"]},
            **{"reward_scale": 1.0, "truncation_bootstraps": False},
        },
    )


def load(learner: Learner, parameters: dict[str, np.ndarray]) -> None:
    learner.model.load_state_dict(
        {name.replace("shared_encoder", "encoder"): torch.from_numpy(array) for name, array in parameters.items()}
    )


def parameters(learner: Learner) -> dict[str, torch.Tensor]:
    return {
        name.replace("encoder", "shared_encoder"): parameter for name, parameter in learner.model.named_parameters()
    }


def fill(learner: Learner, given: dict[str, np.ndarray]) -> None:
    def segments(name: str) -> torch.Tensor:
        return torch.from_numpy(given[name]).unflatten(0, (6, 500))

    behaviour = torch.from_numpy(given["behaviour_logits"])
    tokens = torch.from_numpy(given["tokens"])
    log_mu = behaviour.log_softmax(-1).gather(-1, tokens.long()[..., None]).squeeze(-1)
    learner.replay.append(
        Segments(
            observations=segments("observations"),
            tokens=segments("tokens"),
            log_probs=log_mu.unflatten(0, (6, 500)),
            rewards=segments("rewards"),
            terminated=segments("dones"),
            truncated=torch.zeros(6, 500, dtype=torch.bool),
            final_observation=torch.zeros(6, 39),
            cut_observation=torch.zeros(6, 39),
            logits=segments("behaviour_logits"),
        ),
        segments("advantages"),
        segments("value_targets"),
        version=0,
    )


def test_advantages_are_those_of_the_released_code(golden: Path) -> None:
    given = np.load(golden / "input.npz")
    values = torch.from_numpy(given["values"])[None]
    dones = torch.from_numpy(given["dones"])[None]
    successors = torch.cat([values[:, 1:], torch.from_numpy(given["last_value"])[None, None]], dim=1)
    found = targets.gae(
        torch.from_numpy(given["rewards"])[None], values, successors, dones, torch.zeros_like(dones), 0.99, 0.95
    )
    for ours, theirs in zip(found, ("advantages", "value_targets"), strict=True):
        torch.testing.assert_close(ours[0], torch.from_numpy(given[theirs]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", names())
def test_thirty_updates_are_those_of_the_released_code(golden: Path, name: str) -> None:
    settings = json.loads((golden / "settings.json").read_text())
    spec = make_spec(settings, name)
    learner = Learner(spec, Replay(3000, 500, 39, 4, bins=settings["bins"]))
    initial, expected = (dict(np.load(golden / f"{file}.npz")) for file in ("initial", name))
    load(learner, initial)
    fill(learner, dict(np.load(golden / "input.npz")))
    batches = torch.from_numpy(np.load(golden / "batches.npy")).long()

    batch = learner.replay.gather(batches[0])
    losses = learner.losses(batch, learner.normalised([batch])[0])
    first = {
        "policy_loss": losses.policy,
        "value_loss": spec.learner.value_coefficient * losses.value,
        "kl_loss": spec.learner.kl_coefficient * losses.kl,
        "entropy": losses.entropy,
        "approx_kl": -losses.log_ratios.mean(),
        "loss": learner.total(losses, moves_policy=True),
    }
    for key, ours in first.items():
        torch.testing.assert_close(ours.item(), float(expected[f"first/{key}"]), rtol=1e-6, atol=1e-7, msg=key)
    gradients = torch.autograd.grad(first["loss"], list(parameters(learner).values()))
    for key, ours in zip(parameters(learner), gradients, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(expected[f"gradient/{key}"]), rtol=1e-5, atol=1e-5, msg=key)

    total_norm = []
    for update in range(spec.learner.updates):
        _, norms = at_constant_rates(learner, batches[update // spec.learner.uses][None])
        total_norm.append(float(torch.hypot(norms["grad_norm_policy"], norms["grad_norm_value"])))
        if update == 0:
            close(learner, expected, "one_step", 5e-5)
    close(learner, expected, "final", 5e-5)
    assert total_norm[0] == pytest.approx(float(expected["first/grad_norm"]), rel=1e-5)
    assert np.mean(total_norm) == pytest.approx(float(expected["mean/grad_norm"]), rel=1e-4)


def at_constant_rates(learner: Learner, index: torch.Tensor):
    """An update with the learning rates of the golden numbers, which have no schedule."""
    learner.index.copy_(index)
    moves_policy = learner.set_rates()
    learner.rates["policy"].fill_(learner.spec.learner.policy_learning_rate)
    learner.rates["value"].fill_(learner.spec.learner.value_learning_rate)
    result = learner._step(moves_policy)
    learner.updates += 1
    return result


def close(learner: Learner, expected: dict[str, np.ndarray], stage: str, tolerance: float) -> None:
    for name, parameter in parameters(learner).items():
        golden = torch.from_numpy(expected[f"{stage}/{name}"])
        torch.testing.assert_close(parameter.detach(), golden, rtol=0, atol=tolerance, msg=f"{stage} {name}")
