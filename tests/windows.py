"""The window in which values of a run are averaged, written out in plain pandas."""

import pandas as pd


def windowed(table: pd.DataFrame, column: str) -> pd.Series:
    """Value of every run over the last fifth of its env steps, by regime, method, task and seed."""
    run = ["regime", "method", "task", "seed"]
    late = table[table["env_steps"] >= 0.8 * table.groupby(run)["env_steps"].transform("max")]
    return late.groupby([*run, "update"])[column].mean().groupby(run).mean()
