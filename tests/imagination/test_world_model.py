"""The ensemble against networks of torch, closed forms, and a linear system whose law it has to find."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn

from gipo.errors import GipoError
from gipo.imagination.model import MEMBERS, Experience, Normaliser, WorldModel

SIZE, D = 6, 2
A = torch.tensor([[0.9, 0.1, 0.0, 0.0, 0.0], [0.0, 0.8, 0.2, 0.0, 0.0], [0.0, 0.0, 0.95, 0.0, 0.1],
                  [0.1, 0.0, 0.0, 0.7, 0.0], [0.0, 0.0, 0.1, 0.0, 0.9]])  # fmt: skip
B = torch.tensor([[0.3, 0.0], [0.0, 0.2], [0.0, 0.1], [0.2, 0.2], [0.1, 0.0]])
CONSTANT = 2.5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(count, seed=0, width=1.0):
    """A linear system in five numbers beside a sixth that never changes; success is where the first is positive."""
    states = width * torch.randn(count, SIZE - 1, generator=generator(seed))
    actions = torch.rand(count, D, generator=generator(seed + 1)) * 2 - 1
    constant = torch.full((count, 1), CONSTANT)
    return Experience(
        observations=torch.cat([states, constant], -1),
        actions=actions,
        successors=torch.cat([states @ A.T + actions @ B.T, constant], -1),
        rewards=2 * states[:, 1] - actions[:, 0] + 3,
        successes=(states[:, 0] > 0).float(),
    )


def model(seed=0, hidden=32):
    return WorldModel(SIZE, D, hidden, generator(seed))


@pytest.fixture(scope="module")
def fitted():
    one = model()
    fit = one.fit(linear(2000), linear(300, seed=7), 500, generator(3))
    return one, fit


def test_it_finds_the_law_of_a_linear_system(fitted):
    one, fit = fitted
    unseen = linear(500, seed=20)
    foretold = one.predict(unseen.observations, unseen.actions)
    size = (unseen.successors - unseen.observations).std(0)[:-1].mean()
    assert (foretold.observations - unseen.successors)[:, :-1].std() < 0.1 * size
    assert (foretold.rewards - unseen.rewards).std() < 0.1 * unseen.rewards.std()
    assert ((foretold.successes > 0.5) == unseen.successes.bool()).float().mean() > 0.95
    assert fit.after < 0.1 * fit.before


def test_a_number_that_never_changes_is_foretold_exactly(fitted):
    foretold = fitted[0].predict(linear(50, seed=30).observations, torch.zeros(50, D))
    assert (foretold.observations[:, -1] == CONSTANT).all()


def walk(count, seed):
    """Positions of this step and of the one before, as MetaWorld shows them: steps are a fiftieth of where one is."""
    position, velocity = torch.randn(count, 1, generator=generator(seed)), torch.randn(count, 1, generator=generator(9))
    states = torch.cat([position, position - 0.02 * velocity], -1).repeat(1, SIZE // 2)
    moved = torch.cat([position + 0.02 * velocity, position], -1).repeat(1, SIZE // 2)
    return Experience(states, torch.zeros(count, D), moved, torch.zeros(count), torch.zeros(count))


def test_a_velocity_that_stands_in_two_positions_alone_is_found():
    one, held_out = model(), walk(200, seed=5)
    one.fit(walk(1000, seed=0), held_out, 200, generator())
    foretold = one.predict(held_out.observations, held_out.actions)
    still = (held_out.successors - held_out.observations).square().mean()
    assert (foretold.observations - held_out.successors).square().mean() < 0.05 * still


def test_members_disagree_more_where_there_were_no_data(fitted):
    inside, outside = linear(300, seed=40), linear(300, seed=40, width=4.0)
    near, far = (fitted[0].predict(some.observations, some.actions).disagreement for some in (inside, outside))
    assert far.median() > 3 * near.median()


def network(one, member):
    """A member as modules of torch."""
    layers = []
    for weight, bias in zip(one.weights, one.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2])
        layer.load_state_dict({"weight": weight[member].detach().T, "bias": bias[member, 0].detach()})
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def standardised(values):
    """Mean 0 and deviation 1; 0 where nothing varies."""
    deviation = values.std(0, correction=0)
    return (values - values.mean(0)) / deviation.where(deviation > 1e-6, torch.inf)


def normalised(data):
    """Inputs, whitened by scipy's matrix root of their correlations, and targets."""
    inputs = standardised(torch.cat([data.observations, data.actions], -1))
    varies = [column for column in range(SIZE + D) if column != SIZE - 1]
    root = linalg.sqrtm((inputs.T @ inputs / len(inputs)).double().numpy()[np.ix_(varies, varies)])
    whitened = torch.zeros_like(inputs)
    whitened[:, varies] = inputs[:, varies] @ torch.from_numpy(linalg.inv(root)).float()
    return whitened.clamp(-10, 10), standardised(data.successors - data.observations), standardised(data.rewards)


def test_a_training_step_of_each_member_is_that_of_a_network_of_its_own():
    one, data = model(), linear(64)
    one.normaliser = Normaliser.of(data)
    inputs, changes, rewards = normalised(data)
    references = [network(one, member) for member in range(MEMBERS)]
    optimizer = torch.optim.Adam(one.parameters, lr=1e-3, fused=True)
    losses = one.losses(data)
    losses.sum().backward()
    optimizer.step()
    for member, reference in enumerate(references):
        own = torch.optim.Adam(reference.parameters(), lr=1e-3)
        outputs = reference(inputs)
        change = nn.functional.mse_loss(outputs[:, : SIZE - 1], changes[:, : SIZE - 1])
        reward = nn.functional.mse_loss(outputs[:, SIZE], rewards)
        success = nn.functional.binary_cross_entropy_with_logits(outputs[:, SIZE + 1], data.successes)
        loss = change + reward + success
        loss.backward()
        own.step()
        torch.testing.assert_close(losses[member], loss)
        for layer, weight, bias in zip(reference[::2], one.weights, one.biases, strict=True):
            torch.testing.assert_close(weight.grad[member].T, layer.weight.grad, rtol=1e-4, atol=1e-7)
            torch.testing.assert_close(bias[member, 0], layer.bias, rtol=1e-4, atol=1e-6)


def test_a_prediction_is_the_mean_over_members_and_disagreement_their_deviation():
    one, data = model(), linear(40)
    one.normaliser = Normaliser.of(data)
    inputs, *_ = normalised(data)
    outputs = torch.stack([network(one, member)(inputs) for member in range(MEMBERS)]).detach()
    change = data.successors - data.observations
    scale = change.std(0, correction=0)
    successors = data.observations + outputs[..., :SIZE] * scale + change.mean(0)
    foretold = one.predict(data.observations, data.actions)
    torch.testing.assert_close(foretold.observations, successors.mean(0))
    deviation, mean = torch.std_mean(data.rewards, 0, correction=0)
    torch.testing.assert_close(foretold.rewards, (outputs[..., SIZE] * deviation + mean).mean(0))
    torch.testing.assert_close(foretold.successes, outputs[..., SIZE + 1].sigmoid().mean(0))
    units = data.observations.std(0, correction=0)[:-1]
    spread = successors[..., :-1].std(0, correction=0) / units
    torch.testing.assert_close(foretold.disagreement, spread.square().mean(-1).sqrt(), rtol=1e-4, atol=1e-6)


def test_equal_members_do_not_disagree():
    one = model()
    with torch.no_grad():
        for parameter in one.parameters:
            parameter.copy_(parameter[:1].expand_as(parameter))
    data = linear(20)
    assert one.predict(data.observations, data.actions).disagreement.max() < 1e-6


def test_every_member_learns_from_a_bootstrap_of_its_own():
    """Equal first weights come apart."""
    one = model()
    with torch.no_grad():
        for parameter in one.parameters:
            parameter.copy_(parameter[:1].expand_as(parameter))
    one.fit(linear(200), linear(50, seed=5), 50, generator())
    assert (one.weights[0][1:] - one.weights[0][:1]).abs().flatten(1).amax(1).min() > 1e-4


def test_a_fit_keeps_the_weights_that_were_best_on_what_was_held_out():
    one, held_out = model(), linear(100, seed=5)
    fit = one.fit(linear(40), held_out, 2000, generator())  # forty transitions are soon learned by heart
    assert fit.steps < 2000
    assert one.losses(held_out).mean().item() == pytest.approx(fit.after)
    assert fit.after < fit.before


def test_a_fit_that_makes_nothing_better_changes_no_weight():
    one, data = model(), linear(300)
    one.fit(data, data, 200, generator())
    before = [parameter.detach().clone() for parameter in one.parameters]
    mirrored = 2 * data.rewards.mean() - data.rewards  # of the same mean and deviation
    opposite = Experience(**vars(data) | {"rewards": mirrored, "successes": 1 - data.successes})
    one.fit(opposite, data, 100, generator())
    kept = [torch.equal(old, new) for old, new in zip(before, one.parameters, strict=True)]
    assert all(kept)


def test_a_fit_goes_on_from_the_weights_of_the_one_before():
    one, data, held_out = model(), linear(500), linear(100, seed=5)
    first = one.fit(data, held_out, 400, generator())
    second = one.fit(data, held_out, 100, generator(1))
    assert second.before == pytest.approx(first.after)


def test_the_same_generators_give_the_same_bits_and_others_do_not():
    def trained(seed):
        one = model(seed)
        one.fit(linear(200), linear(50, seed=5), 60, generator(seed))
        return one.parameters

    once, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])


def test_a_model_goes_on_from_its_state_to_the_bit(fitted):
    other = model(seed=9)
    other.load_state(fitted[0].state())
    data = linear(30, seed=50)
    one, two = (some.predict(data.observations, data.actions) for some in (fitted[0], other))
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(one))


@pytest.mark.parametrize("field", ["observations", "actions", "successors", "rewards", "successes"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_data_that_are_not_finite_are_refused_by_name(field, value):
    data = linear(20)
    getattr(data, field)[3] = value
    for parts in ((data, linear(5)), (linear(5), data)):
        with pytest.raises(GipoError, match=f"cannot learn from {field} that are NaN or infinite"):
            model().fit(*parts, 10, generator())


def test_weights_that_are_not_finite_are_refused():
    one = model()
    with torch.no_grad():
        one.weights[0][2, 0, 0] = float("nan")
    with pytest.raises(GipoError, match=r"held-out loss is \[.*nan.*\] after 0 steps"):
        one.fit(linear(20), linear(5), 10, generator())


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(GipoError, match="no transition to learn from"):
        model().fit(linear(20), linear(0), 10, generator())
