"""The policy network, and tokens drawn from it, against torch.distributions and the published layer list."""

import numpy as np
import pytest
import torch

from gipo.models.categorical import log_prob_and_entropy, sample_tokens
from gipo.models.mlp import MLPPolicy


def reference(logits, tokens):
    distribution = torch.distributions.Categorical(logits=logits)
    return distribution.log_prob(tokens), distribution.entropy()


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_divergence_equals_torch_distributions_in_value_and_gradient(scale):
    generator = torch.Generator().manual_seed(0)
    logits, behaviour = (scale * torch.randn(2, 6, 4, 9, generator=generator, dtype=torch.float64)).unbind()
    tokens = torch.randint(0, 9, (6, 4), generator=generator)
    weights = torch.randn(3, 6, 4, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    mu, pi = (torch.distributions.Categorical(logits=of) for of in (behaviour, logits))
    found = log_prob_and_entropy(logits, tokens, behaviour)
    expected = (*reference(logits, tokens), torch.distributions.kl_divergence(mu, pi))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    ours, theirs = (
        torch.autograd.grad(sum((w * term).sum() for w, term in zip(weights, terms, strict=True)), logits)[0]
        for terms in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_log_prob_and_entropy_equal_torch_distributions_in_value_and_gradient(scale):
    generator = torch.Generator().manual_seed(0)
    logits = (scale * torch.randn(6, 4, 9, generator=generator, dtype=torch.float64)).requires_grad_()
    tokens = torch.randint(0, 9, (6, 4), generator=generator)
    weights = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    found, expected = log_prob_and_entropy(logits, tokens)[:2], reference(logits, tokens)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad((weights[0] * log_prob + weights[1] * entropy).sum(), logits)[0]
        for log_prob, entropy in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_log_prob_gradient_passes_gradcheck():
    logits = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, 5, (3, 2))
    assert torch.autograd.gradcheck(lambda x: log_prob_and_entropy(x, tokens)[:2], logits)


def test_drawn_tokens_have_the_frequencies_of_the_distribution():
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.0])
    uniforms = (np.arange(10_000, dtype=np.float32) + 0.5) / 10_000
    tokens, log_probs = sample_tokens(logits.repeat(10_000, 1, 1).numpy(), uniforms[:, None])
    frequencies = np.bincount(tokens[:, 0], minlength=4) / 10_000
    np.testing.assert_allclose(frequencies, logits.softmax(-1).numpy(), atol=2e-4)
    expected, _ = reference(logits.repeat(10_000, 1, 1), torch.from_numpy(tokens))
    np.testing.assert_allclose(log_probs, expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_the_uniforms_give_tokens_that_can_occur(uniform):
    logits = np.full((1, 1, 256), -np.inf, dtype=np.float32)
    logits[0, 0, [7, 200]] = 0.0
    tokens, _ = sample_tokens(logits, np.array([[uniform]], dtype=np.float32))
    assert tokens.item() == (7 if uniform == 0 else 200)


def test_the_paper_network_has_the_published_layers():
    model = MLPPolicy(39, 4, 256, hidden=512, value_hidden=256)
    weights = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    assert weights == [(512, 39), (512, 512), (1024, 512), (256, 512), (1, 256)]
    norms = [module.normalized_shape for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert norms == [(512,), (512,), (256,)]
    logits, values = model(torch.zeros(7, 39))
    assert logits.shape == (7, 4, 256)
    assert values.shape == (7,)


@pytest.mark.parametrize("batch", [1, 7])
def test_written_out_gradients_of_the_value_are_autograds(batch: int):
    generator = torch.Generator().manual_seed(0)
    model = MLPPolicy(6, 2, 4, 12, 9).double()
    for parameter in model.value_parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    model.value_parameters()[1].data[:3] = -100  # units that no observation excites
    features, targets = (torch.randn(batch, *size, generator=generator, dtype=torch.float64) for size in ((12,), ()))
    found = [torch.full_like(parameter, 0.5) for parameter in model.value_parameters()]
    loss = model.add_value_gradients(features, targets, 0.7, found)
    expected = (model.head_values(features) - targets).square().mean()
    gradients = torch.autograd.grad(0.7 * expected, model.value_parameters())
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    for ours, theirs in zip(found, gradients, strict=True):
        torch.testing.assert_close(ours, 0.5 + theirs, rtol=1e-12, atol=1e-12)


def test_the_value_loss_does_not_reach_the_encoder():
    model = MLPPolicy(39, 4, 8, hidden=16, value_hidden=8)
    _, values = model(torch.randn(5, 39))
    values.sum().backward()
    assert all(p.grad is None for p in model.policy_parameters())
    assert all(p.grad is not None for p in model.value_parameters())


@pytest.mark.parametrize(("hidden", "batch"), [(16, 2), (128, 2), (512, 8)])
def test_an_actor_gets_the_same_logits_and_follows_the_weights(hidden: int, batch: int):
    model = MLPPolicy(39, 4, 16, hidden=hidden, value_hidden=8)
    acting, observations = model.acting_logits(), torch.randn(batch, 39)
    before = acting(observations)
    assert torch.equal(before, model.logits(observations))
    model.load_state_dict(MLPPolicy(39, 4, 16, hidden=hidden, value_hidden=8).state_dict())
    assert torch.equal(acting(observations), model.logits(observations))
    assert not torch.equal(acting(observations), before)
