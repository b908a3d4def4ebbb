"""A tiny random model in the published format, for smoke runs without a download."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models
from torch import Tensor, nn

from gipo.files import atomic_path, write_json
from gipo.models.openvla_oft.config import ModelConfig, TowerSize, read_config
from gipo.models.openvla_oft.model import OpenVLAOFT, ProprioProjector
from gipo.models.openvla_oft.prompts import BOS_ID
from gipo.models.openvla_oft.vision import Block

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")

_CONFIG = {
    "architectures": ["OpenVLAForActionPrediction"],
    "model_type": "openvla",
    "arch_specifier": "no-align+fused-gelu-mlp",
    "vision_backbone_id": "dinosiglip-vit-so-224px",
    "use_fused_vision_backbone": True,
    "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
    "timm_override_act_layers": [None, None],
    "image_resize_strategy": "resize-naive",
    "image_sizes": [224, 224],
    "hf_llm_id": "meta-llama/Llama-2-7b-hf",
    "llm_backbone_id": "llama2-7b-pure",
    "llm_max_length": 2048,
    "n_action_bins": 256,
    "output_projector_states": False,
    "pad_to_multiple_of": 64,
    "pad_token_id": 32000,
    "torch_dtype": "float32",
    "text_config": {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
        "pad_token_id": 32000,
        "torch_dtype": "float32",
        "vocab_size": 32064,
    },
    "tiny_vision": {
        "featurizer": {"embed_dim": 48, "depth": 4, "num_heads": 3},
        "fused_featurizer": {"embed_dim": 32, "depth": 3, "num_heads": 2},
    },
}


def write_tiny(directory: Path, seed: int = 0) -> None:
    """Write config.json, dataset_statistics.json, tokenizer.json, model.safetensors and proprio_projector.safetensors.

    The tensors have the published names and the sizes of the numeric fixture; ids of the tokenizer are bytes. The
    statistics, made up, are those of the four LIBERO suites. The same seed gives the same files.

    Raises:
        GipoError: a file cannot be written.
    """
    write_json(directory / "config.json", _CONFIG)
    write_json(directory / "dataset_statistics.json", {f"{suite}_no_noops": _statistics() for suite in SUITES})
    with atomic_path(directory / "tokenizer.json") as path:
        _tokenizer().save(str(path))
    config = read_config(directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tensors = OpenVLAOFT(config, proprio=False).state_dict() | dict(_unused(config))
        projector = ProprioProjector(config.text.hidden_size).state_dict()
        for tensor in itertools.chain(tensors.values(), projector.values()):
            if tensor.dim() > 1:
                tensor.normal_(0, 0.5 / tensor[0].numel() ** 0.5)
    for name, content in (("model", tensors), ("proprio_projector", projector)):
        with atomic_path(directory / f"{name}.safetensors") as path:
            save_file(content, path, metadata={"format": "pt"})


def _unused(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Tensors that the published files hold and nobody reads: each tower's last block and norm, SigLIP's pooling."""
    for name, size in (("featurizer", config.dino), ("fused_featurizer", config.siglip)):
        parts: dict[str, nn.Module] = {f"blocks.{size.depth - 1}": Block(size), "norm": nn.LayerNorm(size.width)}
        if name == "fused_featurizer":
            parts["attn_pool"] = _Pooling(size)
        for part, module in parts.items():
            for tensor, value in module.state_dict().items():
                yield f"vision_backbone.{name}.{part}.{tensor}", value


class _Pooling(nn.Module):
    def __init__(self, size: TowerSize) -> None:
        super().__init__()
        width = size.width
        self.latent = nn.Parameter(torch.zeros(1, 1, width))
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = Block(size).mlp


def _statistics() -> dict[str, Any]:
    return {
        "action": {
            **{name: [-value] * 6 + [0.0] for name, value in (("q01", 0.9), ("min", 1.0))},
            **{name: [value] * 6 + [1.0] for name, value in (("q99", 0.9), ("max", 1.0))},
            **{"mean": [0.0] * 6 + [0.5], "std": [0.5] * 7, "mask": [True] * 6 + [False]},
        },
        "proprio": {
            name: [value] * 8
            for name, value in (("q01", -0.9), ("min", -1.0), ("q99", 0.9), ("max", 1.0), ("mean", 0.0), ("std", 0.5))
        },
        "num_transitions": 1,
        "num_trajectories": 1,
    }


def _tokenizer() -> Tokenizer:
    """Special ids and bytes of the Llama-2 vocabulary without its pieces."""
    vocabulary = {"<unk>": 0, "<s>": BOS_ID, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    return tokenizer
