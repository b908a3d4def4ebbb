"""Action tokens: ids of the vocabulary, the values they stand for, and the actions that LIBERO plays.

A chunk is 8 steps of 7 dimensions, one token each, time-major: slot ``7 t + d``. An action token is one of 256 ids,
31744 to 31999; a *token* without more is its number among them, 0 to 255. The larger the value, the smaller the id.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gipo.models.openvla_oft.normalisation import Statistics

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK, DIMENSIONS = 8, 7
SLOTS = CHUNK * DIMENSIONS
TOKENS = 256
END_ID = 32000
"""One past the last action id; the pieces of the text vocabulary end here, and padding ids begin."""
FIRST_ID = END_ID - TOKENS
PAD_ID = 32000
PROPRIO = 8
"""Numbers of proprioception."""

EDGES = np.linspace(-1.0, 1.0, TOKENS)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2


def bins_of_ids(ids: Ints) -> Ints:
    """Position in `CENTRES` of any ids of the vocabulary: those that are no action's count as the nearest action id."""
    return np.clip(END_ID - 1 - np.asarray(ids), 0, len(CENTRES) - 1)


def values_of_ids(ids: Ints) -> Floats:
    """Normalised action values in (-1, 1); ids 31744 and 31745 share one."""
    return CENTRES[bins_of_ids(ids)]


def ids_of_values(values: Floats) -> Ints:
    """Ids of normalised action values, which are clipped to [-1, 1]."""
    return END_ID - np.digitize(np.clip(values, -1.0, 1.0), EDGES)


def actions_of_tokens(tokens: Ints, statistics: Statistics) -> Floats:
    """Actions in the units of the data set.

    Args:
        tokens: numbers in [0, 256), [..., 56].
        statistics: of the data set that the model was trained on.

    Returns:
        [..., 8, 7], see `unnormalise`.
    """
    ids = FIRST_ID + np.asarray(tokens, dtype=np.int64)
    return unnormalise(values_of_ids(ids).reshape(*ids.shape[:-1], CHUNK, DIMENSIONS), statistics)


def unnormalise(values: Floats, statistics: Statistics) -> Floats:
    """Normalised values [..., 7] to the data set's units; dimensions outside its mask (the gripper) stay."""
    low, high = statistics.action_q01, statistics.action_q99
    return np.where(statistics.action_mask, 0.5 * (values + 1) * (high - low + 1e-8) + low, values)


def env_actions(actions: Floats) -> Floats:
    """Un-normalised actions [..., 7] in LIBERO's convention: its gripper is -1 open and 1 shut, the data's 1 and 0."""
    played = actions.copy()
    played[..., -1] = -np.sign(2 * actions[..., -1] - 1)
    return played


def normalise_proprio(state: Floats, statistics: Statistics) -> Floats:
    """Proprioception [..., 8] (position, axis-angle, two finger joints) scaled to its quantiles and clipped to [-1, 1].

    Raises:
        GipoError: the data set has no statistics of it.
    """
    low, high = statistics.proprio()
    return np.clip(2 * (state - low) / (high - low + 1e-8) - 1, -1.0, 1.0)
