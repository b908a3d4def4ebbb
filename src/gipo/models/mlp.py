"""The network of studies whose observations are vectors: a policy over tokens, and a value [C]."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from gipo.runs.spec import RunSpec

EPSILON = 1e-5
"""Of a layer norm, torch's default."""


class MLPPolicy(nn.Module):
    """Discretised policy and value on a shared encoder; by default the value head sees detached features.

    Args:
        observation_size: length of an observation.
        action_dimensions: number of action dimensions, D.
        bins: tokens per action dimension, K.
        hidden: width of the encoder and of the policy head (512 in the paper).
        value_hidden: width of the value head (256 in the paper).
        detach_value: keep the value's gradient out of the encoder.
    """

    def __init__(
        self,
        observation_size: int,
        action_dimensions: int,
        bins: int,
        hidden: int,
        value_hidden: int,
        detach_value: bool = True,
    ) -> None:
        super().__init__()
        self.detach_value = detach_value
        self.shape = (action_dimensions, bins)
        self.encoder = nn.Sequential(nn.Linear(observation_size, hidden), nn.ReLU(), nn.LayerNorm(hidden))
        self.policy_head = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.LayerNorm(hidden), nn.Linear(hidden, action_dimensions * bins)
        )
        self.value_head = nn.Sequential(
            nn.Linear(hidden, value_hidden), nn.ReLU(), nn.LayerNorm(value_hidden), nn.Linear(value_hidden, 1)
        )

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, D, K] and values [B] of observations [B, observation_size]."""
        features = self.encoder(observations)
        return self._logits(features), self.head_values(features.detach() if self.detach_value else features)

    def logits(self, observations: Tensor) -> Tensor:
        """Logits only, [B, D, K]."""
        return self._logits(self.encoder(observations))

    def acting_logits(self) -> Callable[[Tensor], Tensor]:
        """A function that gives `logits` without gradient, to the same bits, of this model's weights.

        For the few observations of an actor, calling modules costs as much as the arithmetic; it calls none.
        """
        *hidden, out_weight, out_bias = self.policy_parameters()
        layers = [hidden[:4], hidden[4:]]  # weight and bias of the products, scale and shift of the norm

        @torch.inference_mode()
        def logits(observations: Tensor) -> Tensor:
            features = observations
            for weight, bias, scale, shift in layers:
                features = layer_norm(linear(features, weight, bias).relu_(), [len(bias)], scale, shift)
            return linear(features, out_weight, out_bias).unflatten(-1, self.shape)

        return logits

    def head_values(self, features: Tensor) -> Tensor:
        """Values [B] of the encoder's features [B, hidden]."""
        return self.value_head(features).squeeze(-1)

    @torch.no_grad()
    def add_value_gradients(self, features: Tensor, targets: Tensor, weight: float, into: Sequence[Tensor]) -> Tensor:
        """Add the gradients of ``weight`` times the mean squared error of values on fixed features.

        They are written out: autograd makes products with a vector as products of matrices, which here are a fifth of
        its time.

        Args:
            features: of the encoder, [B, hidden].
            targets: [B].
            weight: of the error.
            into: a tensor for each of `value_parameters`, of its shape.

        Returns:
            The mean squared error.
        """
        weights, biases, gains, shifts, (row,), offset = self.value_parameters()
        hidden = torch.addmm(biases, features, weights.T).relu_()
        normed, means, scales = torch.native_layer_norm(hidden, gains.shape, gains, shifts, EPSILON)
        errors = torch.mv(normed, row).add_(offset).sub_(targets)
        of_values = errors * (2 * weight / len(errors))
        inner, of_gains, of_shifts = torch.ops.aten.native_layer_norm_backward(
            torch.outer(of_values, row), hidden, gains.shape, means, scales, gains, shifts, [True, True, True]
        )
        inner.mul_(hidden.sign_())
        into[0].addmm_(inner.T, features)
        into[1].add_(inner.sum(0))
        into[2].add_(of_gains)
        into[3].add_(of_shifts)
        into[4][0].add_(torch.mv(normed.T, of_values))
        into[5].add_(of_values.sum())
        return errors.square().mean()

    @torch.no_grad()
    def values(self, observations: Tensor) -> Tensor:
        """Values only, without gradient; any leading shape: [..., observation_size] -> [...]."""
        return self.head_values(self.encoder(observations))

    def policy_parameters(self) -> list[nn.Parameter]:
        """Encoder and policy head."""
        return [*self.encoder.parameters(), *self.policy_head.parameters()]

    def value_parameters(self) -> list[nn.Parameter]:
        """Value head."""
        return list(self.value_head.parameters())

    def _logits(self, features: Tensor) -> Tensor:
        return self.policy_head(features).unflatten(-1, self.shape)


def make_model(spec: RunSpec, observation_size: int, action_dimensions: int) -> MLPPolicy:
    """The untrained network of a run."""
    return MLPPolicy(
        observation_size,
        action_dimensions,
        spec.environment.bins,
        spec.network.hidden,
        spec.network.value_hidden,
        spec.network.detach_value,
    )
