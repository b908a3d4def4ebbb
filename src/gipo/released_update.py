"""Numeric parity of the learner: what the authors' released update function computed, against what is computed here.

A fixture is a folder with ``settings.json``, ``input.npz``, ``initial.npz``, ``batches.npy`` and a file of results for
every objective. Rewards, advantages, batches and first parameters are given; compared are the targets, the losses and
gradients of the first update, and the parameters after the first and the last one [C].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gipo import targets
from gipo.errors import GipoError
from gipo.files import read_json
from gipo.golden import Arrays, Comparison, near, read_array, read_arrays, told
from gipo.learner import Learner
from gipo.replay import Replay, Segments
from gipo.runs.spec import RunSpec

SETTINGS, BATCHES, INITIAL, INPUT = "settings.json", "batches.npy", "initial.npz", "input.npz"

LOSSES = 1e-6
"""Largest deviation of a loss, in units of its size + 0.1."""
GRADIENTS, PARAMETERS = 1e-5, 5e-5
"""Largest deviation of a gradient, of an advantage, and of a parameter, whose rounding grows over thirty updates."""

_SEGMENTS, _STEPS = 6, 500


def is_fixture(directory: Path) -> bool:
    """Whether a folder holds such numbers."""
    return (directory / BATCHES).is_file()


def compare(directory: Path) -> list[Comparison]:
    """Compare the targets, and the updates by every objective.

    Raises:
        GipoError: a file is missing or damaged.
    """
    settings = read_json(directory / SETTINGS)
    if not isinstance(settings, dict) or not isinstance(settings.get("settings"), dict):
        raise GipoError(f"{directory / SETTINGS} has no settings of objectives under the key settings")
    rows = told(directory / INPUT, partial(_targets, directory / INPUT, settings))
    for name in settings["settings"]:
        rows += told(directory / f"{name}.npz", partial(_updates, directory, settings, name))
    return rows


def _targets(path: Path, settings: dict[str, Any]) -> Iterator[Comparison]:
    given = read_arrays(path)
    values, dones = (torch.from_numpy(given[name])[None] for name in ("values", "dones"))
    successors = torch.cat([values[:, 1:], torch.from_numpy(given["last_value"])[None, None]], dim=1)
    transitions = torch.from_numpy(given["rewards"])[None], values, successors, dones, torch.zeros_like(dones)
    found = targets.gae(*transitions, settings["gamma"], settings["lam"])
    for ours, name in zip(found, ("advantages", "value_targets"), strict=True):
        yield near(path, name, ours[0].numpy(), given[name], GRADIENTS)


def _updates(directory: Path, settings: dict[str, Any], name: str) -> Iterator[Comparison]:
    path = directory / f"{name}.npz"
    golden, batches = read_arrays(path), torch.from_numpy(read_array(directory / BATCHES)).long()
    learner = make_learner(settings, name, read_arrays(directory / INPUT), read_arrays(directory / INITIAL))
    yield from _first(path, learner, batches[0], golden)
    uses = learner.spec.learner.uses
    norms = []
    for update in range(learner.spec.learner.updates):
        norms.append(_update(learner, batches[update // uses]))
        if update == 0:
            yield from _parameters(path, learner, "one_step", golden)
    yield from _parameters(path, learner, "final", golden)
    yield _relative(path, "first/grad_norm", norms[0], golden)
    yield _relative(path, "mean/grad_norm", float(np.mean(norms)), golden)


def _first(path: Path, learner: Learner, positions: Tensor, golden: Arrays) -> Iterator[Comparison]:
    """Losses and gradients of the first update."""
    settings, batch = learner.spec.learner, learner.replay.gather(positions)
    losses = learner.losses(batch, learner.normalised([batch])[0])
    total = learner.total(losses, moves_policy=True)
    found = {
        "policy_loss": losses.policy,
        "value_loss": settings.value_coefficient * losses.value,
        "kl_loss": settings.kl_coefficient * losses.kl,
        "entropy": losses.entropy,
        "approx_kl": -losses.log_ratios.mean(),
        "loss": total,
    }
    for quantity, loss in found.items():
        yield _relative(path, f"first/{quantity}", loss.item(), golden)
    parameters = _named(learner)
    for key, gradient in zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True):
        yield near(path, f"gradient/{key}", gradient.numpy(), golden[f"gradient/{key}"], GRADIENTS)


def _update(learner: Learner, positions: Tensor) -> float:
    """One update at constant learning rates, as the fixture has no schedule; the gradient's norm."""
    learner.index.copy_(positions[None])
    moves_policy = learner.set_rates()
    learner.rates["policy"].fill_(learner.spec.learner.policy_learning_rate)
    learner.rates["value"].fill_(learner.spec.learner.value_learning_rate)
    _, norms = learner.step(moves_policy)
    learner.updates += 1
    return float(torch.hypot(norms["grad_norm_policy"], norms["grad_norm_value"]))


def _parameters(path: Path, learner: Learner, stage: str, golden: Arrays) -> Iterator[Comparison]:
    for name, parameter in _named(learner).items():
        yield near(path, f"{stage}/{name}", parameter.detach().numpy(), golden[f"{stage}/{name}"], PARAMETERS)


def _relative(path: Path, quantity: str, found: float, golden: Arrays) -> Comparison:
    expected = float(golden[quantity])
    tolerance = 100 * LOSSES if quantity.startswith("mean") else 10 * LOSSES if "norm" in quantity else LOSSES
    return Comparison(path.name, quantity, abs(found - expected) / (abs(expected) + 0.1), tolerance)


def _named(learner: Learner) -> dict[str, torch.nn.Parameter]:
    """Parameters by their names in the authors' code."""
    return {name.replace("encoder", "shared_encoder"): value for name, value in learner.model.named_parameters()}


def make_learner(settings: dict[str, Any], name: str, given: Arrays, initial: Arrays) -> Learner:
    """A learner at the fixture's start, whose replay holds its transitions.

    Args:
        settings: content of settings.json.
        name: the objective's, one of those in there.
        given: arrays of input.npz.
        initial: arrays of initial.npz.
    """
    spec = make_spec(settings, name)
    observations, tokens = given["observations"].shape[-1], given["tokens"].shape[-1]
    learner = Learner(spec, Replay(_SEGMENTS * _STEPS, _STEPS, observations, tokens, bins=settings["bins"]))
    state = {key.replace("shared_encoder", "encoder"): torch.from_numpy(array) for key, array in initial.items()}
    learner.model.load_state_dict(state)

    def segments(array: Tensor) -> Tensor:
        return array.unflatten(0, (_SEGMENTS, _STEPS))

    tensors = {key: torch.from_numpy(array) for key, array in given.items()}
    behaviour = tensors["behaviour_logits"].log_softmax(-1)
    log_mu = behaviour.gather(-1, tensors["tokens"].long()[..., None]).squeeze(-1)
    stored = Segments(
        observations=segments(tensors["observations"]),
        tokens=segments(tensors["tokens"]),
        log_probs=segments(log_mu),
        rewards=segments(tensors["rewards"]),
        terminated=segments(tensors["dones"]),
        truncated=torch.zeros(_SEGMENTS, _STEPS, dtype=torch.bool),
        final_observation=torch.zeros(_SEGMENTS, observations),
        cut_observation=torch.zeros(_SEGMENTS, observations),
        logits=segments(tensors["behaviour_logits"]),
    )
    replay = learner.replay
    assert isinstance(replay, Replay)
    replay.append(stored, segments(tensors["advantages"]), segments(tensors["value_targets"]), version=0)
    return learner


def make_spec(settings: dict[str, Any], name: str) -> RunSpec:
    """The run whose updates are those of the fixture."""
    objective = settings["settings"][name]
    kind, parameters = {
        "ppo": ("ppo_clip", {"eps": settings["clip_eps"]}),
        "sapo": ("sapo", {"tau_pos": 1.0, "tau_neg": 2.0}),
        "gipo": ("gipo", {key: objective[key] for key in ("sigma_pos", "sigma_neg", "kernel") if key in objective}),
    }[objective["objective"]]
    uses = settings["reuse"]
    return RunSpec.model_validate(
        {
            **{"task": "reach-v3", "regime": "released", "method": name, "seed": settings["seed"]},
            "objective": {"name": kind, "parameters": parameters},
            "environment": {"bins": settings["bins"]},
            "network": {"hidden": settings["hidden"], "value_hidden": settings["value_hidden"]},
            "replay": {
                **{"capacity": _SEGMENTS * _STEPS, "segment_length": _STEPS, "environments": 1, "group_size": 1},
                **{"warmup_steps": _SEGMENTS * _STEPS, "lifetime": float(_SEGMENTS), "rounds": "in-turn"},
            },
            "learner": {
                **{"updates": settings["rounds"] * uses, "batch_size": settings["batch"], "accumulation": 1},
                **{"uses": uses, "policy_every": settings["actor_every"], "policy_start": 0, "warmup_updates": 0},
                **{"sampling": "distinct", "weight_decay": settings["weight_decay"]},
                **{name: settings[name] for name in ("policy_learning_rate", "value_learning_rate", "gradient_clip")},
                **{"value_coefficient": settings["c_value"], "entropy_coefficient": settings["c_entropy"]},
                **{"kl_coefficient": settings["c_kl"], "kl": "exact", "advantage_deviation": "population"},
                **{"gamma": settings["gamma"], "gae_lambda": settings["lam"]},
                **{"reward_scale": 1.0, "truncation_bootstraps": False},
            },
        }
    )
