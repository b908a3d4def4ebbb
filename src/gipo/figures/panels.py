"""Panels that several figures share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from gipo.figures import style


def estimates(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """A line per name from the top down: point, interval, and both in figures at the right; ``rows`` by name."""
    by_name = rows.to_dict("index")
    for y, name in enumerate(names):
        words = "not run"
        if name in by_name:
            value, low, high = (by_name[name][key] for key in ("value", "low", "high"))
            ax.plot([low, high], [y, y], color=style.colour(name), lw=2.2)
            ax.plot(value, y, color=style.colour(name), marker=style.marker(name), markersize=6)
            words = f"{value:.2f}" + ("" if np.isnan(low) else f"  [{low:.2f}, {high:.2f}]")
        ax.text(1.02, y, words, transform=ax.get_yaxis_transform(), fontsize=9, va="center", color=style.MUTED)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
