"""Policy objectives: the loss of every method and the multiplier that its gradient carries.

An objective maps, element by element, a log-ratio ``log rho = log pi(a|s) - log mu(a|s)`` and an advantage ``A``
to a loss. Its *multiplier* ``m`` is the scalar in front of ``A * grad log pi``::

    d loss / d log pi = -m(rho, A) * A    (paper, appendix C.4)

so ``m = 0`` is a dead sample, and a negative one is pulled back. Losses are per element and meant to be averaged.
Arithmetic is in float32 at least, and finite for any finite log-ratio, see `base.LOG_RATIO_BOUND`.
Most objectives look at each element by itself; some at the whole action or batch, and some need more than these two
tensors: see `Samples`.

Every method is a module of this package, and a new module is found without an edit elsewhere. Add a method without
touching the package: decorate a frozen dataclass in a module of your own and name it in the scale config as
``module:name``. The module may lie in the working directory or wherever Python finds it::

    @gipo.objectives.register("my_method")
    @dataclass(frozen=True)
    class MyMethod(Objective): ...
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from gipo.objectives.base import Objective
from gipo.objectives.registry import make, module_of, names, register
from gipo.objectives.samples import Samples

if TYPE_CHECKING:  # the loop below does it; an import here would make every method part of every run's code digest
    from gipo.objectives.ce_gppo import CEGPPO
    from gipo.objectives.cispo import CISPO
    from gipo.objectives.decoupled_ppo import DecoupledPPO
    from gipo.objectives.dppo_tv import DPPOTV
    from gipo.objectives.gipo import GIPO, KERNELS
    from gipo.objectives.gmpo import GMPO
    from gipo.objectives.gspo import GSPO
    from gipo.objectives.icepop import IcePop
    from gipo.objectives.m2po import M2PO
    from gipo.objectives.no_clip import NoClip
    from gipo.objectives.ppo_clip import PPOClip
    from gipo.objectives.sapo import SAPO
    from gipo.objectives.soft_clip import SoftClip
    from gipo.objectives.spo import SPO
    from gipo.objectives.topr import TOPR
    from gipo.objectives.vespo import VESPO

__all__ = [
    "CEGPPO", "CISPO", "DPPOTV", "GIPO", "GMPO", "GSPO", "KERNELS", "M2PO", "SAPO", "SPO", "TOPR", "VESPO",
    "DecoupledPPO", "IcePop", "NoClip", "Objective", "PPOClip", "Samples", "SoftClip",
    "make", "module_of", "names", "register",
]  # fmt: skip

for _info in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_info.name}")
    globals().update({name: value for name, value in vars(_module).items() if name in __all__})
