"""Figure 4: the gridworld study."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gipo.analysis.exact import percent
from gipo.figures import style
from gipo.figures.looks import GIPO
from gipo.stages import StudyFolder

TITLE = "Figure 4"
SUBTITLE = "The gridworld, bias and variance of every method in cases A, B, C, and how general their order is"

COLUMNS = {
    "policies": ("policy", "action", "probability"),
    "case_study": (
        *("case", "estimator", "method", "parameter", "bias", "variance"),
        *("default", "published", "pareto"),
    ),
    "margins": ("case", "estimator", "method", "largest_bias", "excess", "excess_share", "gain", "gain_share"),
    "family_claims": ("estimator", "claim", "statement", "case_study", "holds", "n", "share", "low", "high"),
}
MAPS = {
    "pi": "Target π",
    "A": "Case A, μ: random",
    "B": "Case B, μ: 40/30/30 %",
    "C": "Case C, μ: 20/40/40 %",
}
DRAWN = "right"
"""The estimator that is drawn; the other one is in the data beside it."""
ROUNDING = 1e-12
LAGS = {"A": "highest lag", "B": "medium lag", "C": "lowest lag"}
STEPS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
WIDTHS = {"sapo": 5.0, "gipo": 1.8}
"""Line widths of the methods whose knob is continuous, different so that of equal curves both show."""
SIZES = {"no_clip": 12, "ppo_clip": 11, "sapo": 12, "gipo": 7}
"""Sizes of the markers, such that of two that nearly coincide both show."""
PARTS = ("bias_falls_", "variance_rises_")
"""Claims that repeat the claim before them for one method."""


def table(sources: StudyFolder) -> pd.DataFrame:
    """The gridworld study, stacked: column ``panel`` tells policies, fronts with the published settings, and the rest.

    Fronts, margins and claims are there for both estimators, in column ``estimator``: "right" has bias and variance of
    the logit of right, "all" the norm of the bias and the trace of the covariance of all four.

    Raises:
        GipoError: a table of the study is missing, or lacks a column.
    """
    tables = {
        name: sources.read_csv(f"gridworld/{name}.csv", columns, keep_default_na=False)
        for name, columns in COLUMNS.items()
    }
    study = tables["case_study"]
    tables["case_study"] = study[study["pareto"] | study["published"]]
    return pd.concat([table.assign(panel=name) for name, table in tables.items()], ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    """Policies above, bias against variance in the middle, claims on random pairs below."""
    figure = Figure(figsize=(style.WIDTH, 10), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[2.5, 3.6, 4.1], squeeze=False).flat
    for ax, (policy, title) in zip(top.subplots(1, len(MAPS)), MAPS.items(), strict=True):
        rows = table[(table["panel"] == "policies") & (table["policy"] == policy)]
        _map(ax, dict(zip(rows["action"], rows["probability"], strict=True)), title)
    drawn = table[table["estimator"] == DRAWN]
    study, margins = (drawn[drawn["panel"] == panel] for panel in ("case_study", "margins"))
    panels = middle.subplots(1, len(LAGS), sharey=True)
    for ax, (case, lag) in zip(panels, LAGS.items(), strict=True):
        _trade_off(ax, study[study["case"] == case])
        _margin(ax, margins[(margins["case"] == case) & (margins["method"] == "sapo")].iloc[0])
        ax.set_title(f"Case {case}: {lag}")
        ax.set_xlabel("variance")
    panels[0].set_ylabel("bias")
    style.legend(middle, *panels[0].get_legend_handles_labels())
    _claims(bottom.subplots(), drawn[drawn["panel"] == "family_claims"])
    return figure


def _map(ax: Axes, probabilities: dict[str, float], title: str) -> None:
    """The grid, with the probability of each move from s0 as the width of an arrow."""
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor=style.MUTED))
    ax.text(0, 0, "s₀", ha="center", va="center")
    ax.text(1, 1, "goal", ha="center", va="center", weight="bold")
    for action, probability in probabilities.items():
        x, y = STEPS[action]
        arrow = {"arrowstyle": "-|>", "lw": 0.5 + 7 * probability, "color": GIPO.colour, "shrinkA": 0}
        ax.annotate("", (0.62 * x, 0.62 * y), (0.16 * x, 0.16 * y), arrowprops=arrow)
        ax.text(0.8 * x, 0.76 * y, f"{probability:.2f}", ha="center", va="center", fontsize=9)
    ax.set(xlim=(-1.05, 1.55), ylim=(1.55, -0.95), aspect="equal", title=title)
    ax.axis("off")


def _trade_off(ax: Axes, rows: pd.DataFrame) -> None:
    """Fronts, as curves where the knob is continuous and else as dots; the published settings large, others small."""
    for i, (method, look) in enumerate(style.looks(rows["method"]).items()):
        one = rows[rows["method"] == method].sort_values("variance")
        default, published = (one[one[column].astype(bool)] for column in ("default", "published"))
        colour, marker = look.colour, look.marker
        if method in WIDTHS:
            ax.plot(one["variance"], one["bias"], color=colour, lw=WIDTHS[method])
        else:
            ax.plot(one["variance"], one["bias"], color=colour, marker=marker, ls="", ms=3.5)
        ax.plot(published["variance"], published["bias"], color=colour, marker=marker, ls="", ms=5.5, zorder=3 + i)
        (point,) = ax.plot(default["variance"], default["bias"], ls="", marker=marker, label=style.label(method))
        point.set(markerfacecolor=colour, markeredgecolor="white", markersize=SIZES[method], zorder=3 + i)
    ax.set_xlim(-0.06 * rows["variance"].max(), 1.08 * rows["variance"].max())
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _margin(ax: Axes, row: pd.Series) -> None:
    """How far GIPO's front is ahead of SAPO's and behind it, as shares of the largest bias."""
    gain, excess = percent(row["gain_share"]), percent(row["excess_share"])
    words = f"GIPO against SAPO, equal variance:\nlargest gain {gain}\nlargest excess {excess}"
    ax.text(0.97, 0.97, words, transform=ax.transAxes, ha="right", va="top", fontsize=9, color=style.MUTED)


def _claims(ax: Axes, claims: pd.DataFrame) -> None:
    """Share of the random pairs in which each claim holds, with its interval; hollow where it fails in A, B, C."""
    parts = claims["claim"].str.startswith(PARTS)
    colours = [style.MUTED if part else style.INK for part in parts]
    ticks = range(len(claims))
    for y, colour, part, row in zip(ticks, colours, parts, claims.to_dict("records"), strict=True):
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=2)
        (point,) = ax.plot(row["share"], y, marker="o", zorder=3, clip_on=False)
        fill = colour if row["case_study"] else "white"
        point.set(markersize=5 if part else 7, markerfacecolor=fill, markeredgecolor=colour)
    right = ax.secondary_yaxis("right")
    right.spines["right"].set_visible(False)
    percent = 100 * claims[["share", "low", "high"]].astype(float)
    ax.set_yticks(ticks, claims["statement"].mask(parts, "– " + claims["statement"]))
    right.set_yticks(ticks, [f"{share:.1f} %  [{low:.1f}, {high:.1f}]" for share, low, high in percent.to_numpy()])
    for axis in (ax.yaxis, right.yaxis):
        axis.set_tick_params(length=0)
        for label, colour in zip(axis.get_ticklabels(), colours, strict=True):
            label.set_color(colour)
    n = int(claims["n"].iloc[0])
    ax.set(xlim=(-0.02, 1.02), ylim=(len(claims) - 0.5, -0.5))
    ax.set_title(f"Share of {n:,} random pairs (π, μ) in which a claim holds; ○: fails in A, B, C", x=0.5, ha="center")
    ax.xaxis.set_major_formatter(PercentFormatter(1))


def caption(table: pd.DataFrame) -> str:
    """Say what is shown, what domination means, n and interval method, whose values these are, what the paper says."""
    n = int(table.loc[table["panel"] == "family_claims", "n"].iloc[0])
    margins = table[(table["panel"] == "margins") & (table["estimator"] == DRAWN)]
    on_policy = table[(table["panel"] == "case_study") & (table["case"] == "D") & (table["estimator"] == DRAWN)]
    unbiased, variance = (on_policy["bias"] < ROUNDING).all(), on_policy["variance"]
    same = f"with the same variance, {variance.mean():.4f}" if variance.std() < ROUNDING else "with other variances"
    return (
        "Gridworld of the paper's figure 4: one policy-gradient step at s₀ of a 2 x 2 grid, bias and variance exact by "
        "enumerating the four actions. Top: the target policy π and the behaviours μ of cases A (uniformly random), B "
        "and C (mixtures of a random, a right- and a down-preferring one, in this order). Middle: bias and variance of "
        "the gradient in the logit of right. Markers with a white edge: PPO-Clip ε = 0.2, SAPO (1, 2), GIPO (1, 1), "
        "No-Clip; other circles: GIPO with σ 0.1, 0.3, 0.5 and 2. Curves: Pareto fronts over σ and τ from 0.001 to "
        "1000; small squares: over ε from 0.01 to 0.99, which moves PPO-Clip in jumps. Gain and excess, by which "
        "GIPO's bias is smaller and larger than SAPO's at equal variance, are shares of the largest bias, "
        f"{margins['largest_bias'].iloc[0]:.4f}, that of an estimator that is always 0. In case D, where μ is π, "
        f"{'every method is unbiased' if unbiased else 'not every method is unbiased'} at every setting, {same}. "
        f"Bottom: the same claims on n = {n:,} random pairs (π, μ), each with high, medium and low lag; lines are 95 "
        "% Wilson intervals of the share; a hollow marker means that the claim fails in cases A, B, C. Bias and "
        "variance are compared at the markers with a white edge. One front dominates another if at equal variance "
        "it has nowhere more bias, and somewhere less; differences up to 1 % of the largest bias count as level. "
        "No-Clip is unbiased and GIPO's own limit for large σ, so that GIPO is never behind it follows from this "
        "definition. Reward, logits, mixtures and estimator are those of an earlier version of the authors' code "
        "[H], the random family is reconstructed [R]; the data have the same for all four logits, with the norm of "
        "the bias and the trace of the covariance. The paper claims that PPO-Clip's variance is exactly 0 in A and "
        "B, that bias falls and variance rises from A to C, and that GIPO's front dominates all three [P]."
    )
