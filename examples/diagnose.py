"""How much of a batch of your own still teaches anything, by method: diagnostics of log-ratios, advantages and gaps.

`python examples/diagnose.py` needs gipo alone; random numbers stand in for a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gipo import diagnostics, objectives


def diagnose(
    log_ratio: Tensor, advantage: Tensor, gap: Tensor, old_gap: float, mask: Tensor
) -> dict[str, dict[str, float]]:
    """Numbers of each method on one batch; arguments as in `gipo.diagnostics`."""
    methods = {"ppo_clip": objectives.make("ppo_clip", eps=0.2), "gipo": objectives.make("gipo", sigma_neg=1.0)}
    found = {}
    for name, objective in methods.items():
        multiplier = objective.multiplier(log_ratio, advantage)
        used = diagnostics.utilisation(multiplier, log_ratio, advantage, gap, old_gap, mask)
        found[name] = {key: number.item() for key, number in used.items()}
    return found


def main() -> None:
    """A made-up batch [512, 8] in which policies drift apart with the version gap."""
    torch.manual_seed(0)
    gap = torch.randint(0, 1000, (512, 1))  # learner updates since the sample was collected
    log_ratio = torch.randn(512, 8) * (0.02 + gap / 1000)
    advantage = torch.randn(512, 1)
    mask = torch.rand(512, 8) < 0.9  # false where an element is padding
    tails = diagnostics.ratio_tails(log_ratio, mask=mask)
    stale = diagnostics.staleness(gap, 500, mask)
    print(f"95 % of ratios within a factor of {tails['d95'].exp():.2f}; {stale['old_frac']:.0%} of the batch is old")
    for name, used in diagnose(log_ratio, advantage, gap, 500, mask).items():
        print(
            f"{name:9} dead {used['dead']:6.1%}  share of old {used['old_share']:6.1%}  ESS {used['ess_eff_old']:.2f}"
        )


if __name__ == "__main__":
    main()
