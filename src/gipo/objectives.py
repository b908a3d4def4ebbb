"""Policy objectives: the loss of every method and the multiplier that its gradient carries.

An objective maps, element by element, a log-ratio ``log rho = log pi(a|s) - log mu(a|s)`` and an advantage ``A``
to a loss. Its *multiplier* ``m`` is the scalar in front of ``A * grad log pi``::

    d loss / d log pi = -m(rho, A) * A                                          (paper, appendix C.4)

so ``m = 0`` is a dead sample. Losses are per element and meant to be averaged. Arithmetic is in float32 at least.

Add a method without touching the package: decorate a frozen dataclass in a module of your own and name it in the
scale config as ``module:name``::

    @gipo.objectives.register("my_method")
    @dataclass(frozen=True)
    class MyMethod(Objective): ...
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gipo.errors import GipoError

if TYPE_CHECKING:  # whoever checks a config, as the workflow does at every start, need not wait for torch
    from torch import Tensor

KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": lambda log_ratio, sigma: (-0.5 * (log_ratio / sigma).square()).exp(),
    "laplacian": lambda log_ratio, sigma: (-(log_ratio / sigma).abs()).exp(),
    "cauchy": lambda log_ratio, sigma: 1 / (1 + (log_ratio / sigma).square()),
}
"""Trust weights ``omega(rho; sigma)``: eq. 5 of the paper and the two other kernels of the released code [C]."""


class Objective(ABC):
    """A policy objective; subclasses are frozen dataclasses whose fields are the method's settings."""

    @abstractmethod
    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Per-element loss, differentiable in ``log_ratio``.

        Args:
            log_ratio: ``log pi(a|s) - log mu(a|s)``, any shape; of one action dimension, not their sum [C].
            advantage: ``A``, broadcastable to ``log_ratio``; a constant of the optimisation.

        Returns:
            Loss of the broadcast shape, float32 or wider.
        """

    @abstractmethod
    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Scalar ``m >= 0`` in front of ``A * grad log pi`` (appendix C.4), without gradient; shapes as in `loss`."""


_REGISTRY: dict[str, type[Objective]] = {}
_Class = TypeVar("_Class", bound=type[Objective])


def register(name: str) -> Callable[[_Class], _Class]:
    """Class decorator that makes an objective known under ``name``; a second claim on a name is an error."""

    def add(cls: _Class) -> _Class:
        known = _REGISTRY.get(name)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise GipoError(f"objective name {name!r} is already taken by {known.__qualname__}")
        _REGISTRY[name] = cls
        return cls

    return add


def names() -> list[str]:
    """Names of all registered objectives."""
    return sorted(_REGISTRY)


def make(name: str, **parameters: Any) -> Objective:
    """Build an objective by name, for example ``make("gipo", sigma_pos=1.0, sigma_neg=0.5)``.

    Args:
        name: a registered name, or ``module:name`` to import the module that registers it first.
        parameters: fields of the objective; those left out take their defaults.

    Raises:
        GipoError: unknown name or parameter, a parameter without default left out, or a value out of range.
    """
    module, _, short = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise GipoError(f"objective {name!r}: cannot import module {module!r} ({error})") from error
    if short not in _REGISTRY:
        raise GipoError(f"unknown objective {name!r}; known: {', '.join(names())}")
    cls = _REGISTRY[short]
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(parameters) - set(fields)):
        raise GipoError(f"objective {name!r} has no parameter {unknown[0]!r}; it has: {', '.join(fields) or 'none'}")
    required = [field for field in fields if fields[field].default is dataclasses.MISSING]
    if missing := [field for field in required if field not in parameters]:
        raise GipoError(f"objective {name!r} needs the parameter {missing[0]!r}, which has no default")
    return cls(**parameters)


@register("no_clip")
@dataclass(frozen=True)
class NoClip(Objective):
    """Plain importance sampling, ``-rho A``."""

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``-rho A``."""
        return -_wide(log_ratio).exp() * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``rho``."""
        return _spread(_rho(log_ratio), advantage)


@register("ppo_clip")
@dataclass(frozen=True)
class PPOClip(Objective):
    """PPO's clipped surrogate, ``-min(rho A, clip(rho, 1 - eps, 1 + eps) A)`` (eq. 3)."""

    eps: float = 0.2

    def __post_init__(self) -> None:
        _require(self, "eps", self.eps, 0, 1)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Eq. 3, negated."""
        rho = _wide(log_ratio).exp()
        return -(rho * advantage).minimum(rho.clamp(1 - self.eps, 1 + self.eps) * advantage)

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``rho``, but 0 where ``A > 0, rho > 1 + eps`` or ``A < 0, rho < 1 - eps``: the dead samples."""
        rho = _rho(log_ratio)
        dead = ((advantage > 0) & (rho > 1 + self.eps)) | ((advantage < 0) & (rho < 1 - self.eps))
        return _spread(rho, advantage).masked_fill(dead, 0)


@register("sapo")
@dataclass(frozen=True)
class SAPO(Objective):
    """Soft adaptive gate, ``-g A`` with ``g = (4 / tau) sigmoid(tau (rho - 1))``; defaults of the authors' runs [C]."""

    tau_pos: float = 1.0
    tau_neg: float = 2.0

    def __post_init__(self) -> None:
        _require(self, "tau_pos", self.tau_pos, 0)
        _require(self, "tau_neg", self.tau_neg, 0)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``-g A``."""
        tau = _by_sign(advantage, self.tau_pos, self.tau_neg)
        return -(4 / tau) * (tau * (_wide(log_ratio).exp() - 1)).sigmoid() * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``4 p (1 - p) rho`` with ``p = sigmoid(tau (rho - 1))``."""
        rho = _rho(log_ratio)
        gate = _by_sign(advantage, self.tau_pos, self.tau_neg) * (rho - 1)
        return 4 * gate.sigmoid() * (-gate).sigmoid() * rho


@register("gipo")
@dataclass(frozen=True)
class GIPO(Objective):
    """Gaussian importance sampling, ``-omega rho A`` with ``omega`` held constant (eq. 4-7).

    ``sigma_pos`` applies where ``A > 0``, ``sigma_neg`` where ``A <= 0``; written GIPO (sigma_pos, sigma_neg).
    Defaults of the released code [C].
    """

    sigma_pos: float = 1.0
    sigma_neg: float = 0.5
    kernel: Literal["gaussian", "laplacian", "cauchy"] = "gaussian"

    def __post_init__(self) -> None:
        _require(self, "sigma_pos", self.sigma_pos, 0)
        _require(self, "sigma_neg", self.sigma_neg, 0)
        if self.kernel not in KERNELS:
            raise GipoError(f"gipo: kernel = {self.kernel!r}, expected one of {', '.join(KERNELS)}")

    def weight(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """Trust weight ``omega(rho; sigma)`` in (0, 1], without gradient (eq. 4-5)."""
        sigma = _by_sign(advantage, self.sigma_pos, self.sigma_neg)
        return KERNELS[self.kernel](_wide(log_ratio.detach()), sigma)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``-omega rho A`` (eq. 6)."""
        return -self.weight(log_ratio, advantage) * _wide(log_ratio).exp() * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``omega rho`` (eq. 7)."""
        return self.weight(log_ratio, advantage) * _rho(log_ratio)


@register("cispo")
@dataclass(frozen=True)
class CISPO(Objective):
    """Clipped importance weight, ``-sg(clip(rho, 1 - eps_low, 1 + eps_high)) A log pi`` (MiniMax-M1, arXiv 2506.13585).

    Not a method of the GIPO paper. As in its own paper there is no lower bound by default; ``eps_high`` has no default.
    """

    eps_high: float
    eps_low: float = 1.0

    def __post_init__(self) -> None:
        _require(self, "eps_high", self.eps_high, 0)
        _require(self, "eps_low", self.eps_low, 0)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """With ``log rho`` in place of ``log pi``: they differ by a constant, ``log mu``."""
        return -self.multiplier(log_ratio, advantage) * _wide(log_ratio) * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``clip(rho, 1 - eps_low, 1 + eps_high)``."""
        return _spread(_rho(log_ratio).clamp(1 - self.eps_low, 1 + self.eps_high), advantage)


@register("soft_clip")
@dataclass(frozen=True)
class SoftClip(Objective):
    """Polynomial trust weight, ``-max(rho, 1 / rho)^-alpha rho A`` with the weight held constant (as in SCAPPO).

    Not a method of the GIPO paper. The same as GIPO's Laplacian kernel with ``sigma = 1 / alpha``; the trust falls with
    a power of the ratio where the Gaussian's falls faster than any. ``alpha`` has no default.
    """

    alpha: float

    def __post_init__(self) -> None:
        _require(self, "alpha", self.alpha, 0)

    def loss(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``-max(rho, 1 / rho)^-alpha rho A``."""
        return -self._weight(log_ratio) * _wide(log_ratio).exp() * advantage

    def multiplier(self, log_ratio: Tensor, advantage: Tensor) -> Tensor:
        """``max(rho, 1 / rho)^-alpha rho``."""
        return _spread(self._weight(log_ratio) * _rho(log_ratio), advantage)

    def _weight(self, log_ratio: Tensor) -> Tensor:
        return (-self.alpha * _wide(log_ratio.detach()).abs()).exp()


def _wide(x: Tensor) -> Tensor:
    """Half precision as float32, wider types as they are."""
    return x.float() if x.itemsize < 4 else x


def _rho(log_ratio: Tensor) -> Tensor:
    """Importance ratio, without gradient."""
    return _wide(log_ratio.detach()).exp()


def _by_sign(advantage: Tensor, positive: float, negative: float) -> Tensor:
    """``positive`` where ``A > 0``, ``negative`` where ``A <= 0``."""
    wide = _wide(advantage)
    return wide.new_full(wide.shape, negative).masked_fill(advantage > 0, positive)


def _spread(multiplier: Tensor, advantage: Tensor) -> Tensor:
    """The multiplier in the shape that it and the advantage broadcast to."""
    return multiplier.broadcast_to((multiplier * advantage).shape)


def _require(objective: Objective, name: str, value: float, above: float, below: float = math.inf) -> None:
    """Raise unless ``above < value < below``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        limits = f"a number > {above:g}" + (f" and < {below:g}" if below < math.inf else "")
        raise GipoError(f"{type(objective).__name__}: {name} = {value!r}, expected {limits}")
