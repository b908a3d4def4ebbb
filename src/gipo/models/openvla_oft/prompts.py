"""Prompts: the text of a task, its ids, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from gipo.errors import GipoError
from gipo.models.openvla_oft.tokens import PAD_ID

BOS_ID = 1
SPACE_ID = 29871
"""The lone space before the answer: slot 0 is read here."""


def prompt(task: str) -> str:
    """The question about a task, as LIBERO words it."""
    return f"In: What action should the robot take to {task.lower()}?\nOut:"


def read_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer in the directory of a pretrained model.

    Raises:
        GipoError: tokenizer.json is missing or damaged.
    """
    path = directory / "tokenizer.json"
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GipoError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # tokenizers raises nothing more specific
        raise GipoError(f"{path} is corrupt, expected a tokenizer: {error}") from error


def prompt_ids(tokenizer: Tokenizer, task: str) -> list[int]:
    """Ids of the prompt about a task, from BOS to 29871."""
    return [BOS_ID, *tokenizer.encode(prompt(task), add_special_tokens=False).ids, SPACE_ID]


def batch_prompts(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Prompts padded on the right to the longest.

    Args:
        prompts: ids from BOS to 29871, see `prompt_ids`.

    Returns:
        ``input_ids`` int64 [B, L], and ``attention_mask`` bool [B, L], None where all have the same length.
    """
    lengths = torch.tensor([len(ids) for ids in prompts])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, PAD_ID)
    ids[mask] = torch.tensor([i for ids in prompts for i in ids])
    return ids, None if bool(mask.all()) else mask
