"""Sizes of a published model, from its config.json."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from transformers import LlamaConfig

from gipo.config import explain
from gipo.errors import GipoError
from gipo.files import read_json
from gipo.models.openvla_oft.tokens import END_ID


@dataclass(frozen=True)
class TowerSize:
    """A vision transformer."""

    width: int
    depth: int
    heads: int
    mlp_width: int
    registers: int
    """Register tokens, before which stands a class token; 0: no prefix at all."""
    layer_scale: bool


@dataclass(frozen=True)
class ModelConfig:
    """Sizes that `gipo.models.openvla_oft.model` is built from."""

    dino: TowerSize
    siglip: TowerSize
    text: LlamaConfig


class _TinyTower(BaseModel):
    embed_dim: Annotated[int, Field(gt=0, le=8192)]
    depth: Annotated[int, Field(gt=0, le=128)]
    num_heads: Annotated[int, Field(gt=0, le=128)]


class _TinyVision(BaseModel):
    """Not published: sizes of a model for tests."""

    featurizer: _TinyTower = _TinyTower(embed_dim=1024, depth=24, num_heads=16)
    fused_featurizer: _TinyTower = _TinyTower(embed_dim=1152, depth=27, num_heads=16)


class _File(BaseModel):
    """The keys of config.json that matter here; a published value that would need another model is an error."""

    model_type: Literal["openvla"]
    arch_specifier: Literal["no-align+fused-gelu-mlp"]
    use_fused_vision_backbone: Literal[True]
    timm_model_ids: tuple[Literal["vit_large_patch14_reg4_dinov2.lvd142m"], Literal["vit_so400m_patch14_siglip_224"]]
    timm_override_act_layers: tuple[None, None]
    image_sizes: tuple[Literal[224], Literal[224]]
    n_action_bins: Literal[256]
    pad_to_multiple_of: Annotated[int, Field(gt=0, le=1024)]
    text_config: dict[str, Any]
    tiny_vision: _TinyVision = Field(default_factory=_TinyVision)


MOST_OF_TEXT = {
    "vocab_size": 200_000,
    "hidden_size": 16_384,
    "intermediate_size": 65_536,
    "num_hidden_layers": 256,
    "num_attention_heads": 256,
    "num_key_value_heads": 256,
    "head_dim": 1024,
    "max_position_embeddings": 1_000_000,
}
"""Largest sizes of a language model: beyond these, a damaged file would keep a machine busy for hours."""


def read_config(directory: Path) -> ModelConfig:
    """Read config.json.

    Raises:
        GipoError: it is missing or damaged, or describes another architecture; names the key.
    """
    path = directory / "config.json"
    try:
        file = _File.model_validate(read_json(path))
        text = LlamaConfig(**file.text_config)
    except ValidationError as error:
        raise GipoError(f"{path}: {explain(error)}") from error
    except GipoError:
        raise
    except Exception as error:  # what transformers raises depends on what is wrong
        raise GipoError(f"{path}: text_config: {type(error).__name__}: {error}") from error
    for name, most in MOST_OF_TEXT.items():
        value = getattr(text, name)
        if not isinstance(value, int) or not 0 < value <= most:
            raise GipoError(f"{path}: text_config.{name} = {reprlib.repr(value)}, expected from 1 to {most}")
    if (end := text.vocab_size - file.pad_to_multiple_of) != END_ID:
        raise GipoError(f"{path}: text_config.vocab_size - pad_to_multiple_of = {end}, expected {END_ID}")
    dino, siglip = file.tiny_vision.featurizer, file.tiny_vision.fused_featurizer
    return ModelConfig(
        TowerSize(dino.embed_dim, dino.depth, dino.num_heads, 4 * dino.embed_dim, registers=4, layer_scale=True),
        TowerSize(
            siglip.embed_dim,
            siglip.depth,
            siglip.num_heads,
            int(3.7362 * siglip.embed_dim),
            registers=0,
            layer_scale=False,
        ),
        text,
    )
