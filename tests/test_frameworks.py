"""What docs/verl.md and docs/rlinf.md tell others to add to their frameworks, run against registries made anew here.

The modules that stand in for verl and RLinf have the signatures that the two pages name the commits of.
"""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gipo import objectives
from printed import blocks

Registry = dict[str, Callable[..., tuple[Tensor, dict[str, Any]]]]
GIPO = objectives.make("gipo", sigma_pos=1.0, sigma_neg=0.5)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Let ``import name`` find a module with these members."""
    package = ""
    for part in name.split("."):
        package = f"{package}.{part}".lstrip(".")
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
    vars(sys.modules[name]).update(members)


def registered(page: str) -> Registry:
    """What the Python of a page puts into the registry that it imports."""
    found: Registry = {}

    def register_policy_loss(name: str) -> Callable[..., Any]:
        return lambda function: found.setdefault(name, function)

    for module in ("verl.trainer.ppo.core_algos", "rlinf.algorithms.registry"):
        if module in sys.modules:
            vars(sys.modules[module])["register_policy_loss"] = register_policy_loss
    (code,) = [block.text for block in blocks() if (block.place, block.language) == (page, "python")]
    exec(compile(code, page, "exec"), {})
    return found


@pytest.fixture
def verl(monkeypatch: pytest.MonkeyPatch) -> Registry:
    def agg_loss(loss_mat: Tensor, loss_mask: Tensor, loss_agg_mode: str, batch_num_tokens: int) -> Tensor:
        assert loss_agg_mode == "token-mean"
        return (loss_mat * loss_mask).sum() / batch_num_tokens

    stand_in(monkeypatch, "verl.trainer.ppo.core_algos", agg_loss=agg_loss)
    return registered("docs/verl.md")


@pytest.fixture
def rlinf(monkeypatch: pytest.MonkeyPatch) -> Registry:
    def masked_mean(values: Tensor, mask: Tensor, axis: int | None = None) -> Tensor:
        assert axis is None
        return (values * mask).sum() / mask.sum()

    def masked_mean_ratio(values: Tensor, mask: Tensor, loss_mask_ratio: Tensor) -> Tensor:
        return (values / loss_mask_ratio * mask).mean()

    def compute_ppo_critic_loss(values: Tensor, returns: Tensor, **others: Any) -> tuple[Tensor, dict[str, Any]]:
        return (values - returns).square().mean(), {"critic/value_loss": 0.0}

    stand_in(monkeypatch, "rlinf.algorithms.registry")
    stand_in(monkeypatch, "rlinf.algorithms.losses", compute_ppo_critic_loss=compute_ppo_critic_loss)
    stand_in(monkeypatch, "rlinf.utils.utils", masked_mean=masked_mean, masked_mean_ratio=masked_mean_ratio)
    return registered("docs/rlinf.md")


def batch(*shape: int, steps: tuple[int, ...] | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-probabilities now and then, advantages and mask; what the mask leaves out is NaN."""
    generator = torch.Generator().manual_seed(0)
    new, old = (-torch.rand(*shape, generator=generator) for _ in range(2))
    advantage = torch.randn(*(steps or shape), generator=generator)
    mask = torch.rand(*(steps or shape), generator=generator) < 0.7
    return new.where(mask, torch.nan).requires_grad_(), old.where(mask, torch.nan), advantage, mask


def by_definition(new: Tensor, old: Tensor, advantage: Tensor) -> Tensor:
    """``-omega rho A`` with omega held constant, eq. 5-6 of the paper."""
    ratio, sigma = (new - old).exp(), torch.where(advantage > 0, 1.0, 0.5)
    return -(-(ratio.log() ** 2) / (2 * sigma**2)).exp().detach() * ratio * advantage


def assert_same(found: Tensor, of: Tensor, expected: Tensor, mask: Tensor) -> None:
    """Loss and gradient, which is nothing where the mask leaves an element out."""
    (gradient,) = torch.autograd.grad(found, of, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, of)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient.where(mask, 0), expected_gradient.where(mask, 0))
    assert (gradient.where(~mask, 0) == 0).all()


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
def test_verl_gets_gipos_loss_and_gradient(verl: Registry, kind: torch.dtype) -> None:
    new, old, advantage, mask = batch(4, 9)
    config = SimpleNamespace(global_batch_info={"batch_num_tokens": 50})
    found, metrics = verl["gipo"](old, new, advantage, mask.to(kind), "token-mean", config, None)
    assert_same(found, new, by_definition(new, old, advantage)[mask].sum() / 50, mask)
    torch.testing.assert_close(found, GIPO.loss((new - old)[mask], advantage[mask]).sum() / 50)
    assert metrics["actor/ppo_kl"] == pytest.approx((old - new)[mask].mean().item())
    assert metrics["actor/d95"] == pytest.approx((new - old)[mask].abs().quantile(0.95).item(), rel=1e-5)


def test_verl_may_weight_the_losses(verl: Registry) -> None:
    new, old, advantage, mask = batch(4, 9)
    weights = torch.rand(4, 9).where(mask, torch.nan)
    config = SimpleNamespace(global_batch_info={"batch_num_tokens": 50})
    found, _ = verl["gipo"](old, new, advantage, mask, config=config, rollout_is_weights=weights)
    assert_same(found, new, (weights * by_definition(new, old, advantage))[mask].sum() / 50, mask)


def test_rlinf_gets_gipos_loss_and_gradient(rlinf: Registry) -> None:
    new, old, advantage, mask = batch(4, 9)
    tokens = {"loss_type": "gipo", "task_type": "reasoning", "clip_ratio_low": 0.2, "clip_ratio_high": 0.2}
    found, metrics = rlinf["gipo"](logprobs=new, old_logprobs=old, advantages=advantage, loss_mask=mask, **tokens)
    assert_same(found, new, by_definition(new, old, advantage)[mask].mean(), mask)
    assert metrics["actor/policy_loss"] == found


def test_rlinf_with_action_dimensions_episode_lengths_and_a_critic(rlinf: Registry) -> None:
    new, old, advantage, mask = batch(4, 3, 7, steps=(4, 3, 1))
    lengths = torch.tensor([5.0, 3.0, 10.0, 2.0]).view(4, 1, 1).expand(4, 3, 1)
    values, returns = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    found, metrics = rlinf["gipo_critic"](
        logprobs=new, old_logprobs=old, advantages=advantage, loss_mask=mask, loss_mask_sum=lengths,
        max_episode_steps=20, critic_warmup=False, values=values, returns=returns,
    )  # fmt: skip
    expected = (by_definition(new, old, advantage) * 20 / lengths).where(mask, 0).mean()
    assert_same(found, new, expected + (values - returns).square().mean(), mask.expand_as(new))
    assert {"actor/policy_loss", "actor/d95", "critic/value_loss"} == metrics.keys()


def test_rlinf_leaves_the_actor_alone_while_the_critic_warms_up(rlinf: Registry) -> None:
    new, old, advantage, mask = batch(4, 9)
    found, _ = rlinf["gipo"](logprobs=new, old_logprobs=old, advantages=advantage, loss_mask=mask, critic_warmup=True)
    assert found == 0
    assert (torch.autograd.grad(found, new)[0] == 0).all()
