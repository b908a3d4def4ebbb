"""Directories of pretrained models: safetensors, one file or shards, loaded without a second copy in memory."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from gipo.errors import GipoError
from gipo.files import read_json
from gipo.models.openvla_oft.config import ModelConfig, read_config
from gipo.models.openvla_oft.model import OpenVLAOFT

SHARD = re.compile(r"\w[\w.-]{0,100}\.safetensors")
MOST_PROPRIO = 1 << 30
"""Bytes of the largest projector of proprioception that is read; the published one has 67 MB in float32."""
_PROPRIO = "proprio_projector."


def load(
    directory: Path,
    *,
    proprio: bool = False,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
) -> OpenVLAOFT:
    """The model in a directory, in evaluation mode.

    Args:
        directory: config.json and model.safetensors, or the shards that model.safetensors.index.json names.
        proprio: load the projector of proprioception too: proprio_projector.safetensors or the authors'
            ``proprio_projector--<step>_checkpoint.pt``.
        dtype: of all weights; published evaluation runs in bfloat16.
        device: where they go, tensor by tensor.

    Raises:
        GipoError: a file is missing or damaged; tensors are missing, unexpected or of another shape (all are named).
    """
    config = read_config(directory)
    try:
        with torch.device("meta"):
            model = OpenVLAOFT(config, proprio)
    except Exception as error:  # what is raised depends on which sizes do not go together
        raise GipoError(f"{directory / 'config.json'}: no model has these sizes: {error}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    with ExitStack() as stack:
        tensors = _open(directory, stack, str(device))
        unused = tuple(_unused(config))
        found = {name: file for name, file in tensors.items() if not name.startswith(unused)}
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in found.items()}
        state: dict[str, Tensor] = {}
        if proprio:
            path, projector = _proprio(directory, dtype)
            state = {f"{_PROPRIO}{name}": tensor.to(device) for name, tensor in projector.items()}
            own = {name: shape for name, shape in expected.items() if name.startswith(_PROPRIO)}
            _compare(path, own, {name: tuple(tensor.shape) for name, tensor in state.items()})
        _compare(directory, {name: shape for name, shape in expected.items() if not name.startswith(_PROPRIO)}, shapes)
        for name, file in found.items():
            state[name] = _tensor(directory, file, name).to(dtype)
    model.load_state_dict(state, assign=True)
    # its tables are in no file, and computing them on meta left them empty
    model.language_model.model.rotary_emb = LlamaRotaryEmbedding(config.text).to(device)
    return model.eval()


def _open(directory: Path, stack: ExitStack, device: str) -> dict[str, Any]:
    """Every tensor's name with the open file that holds it."""
    index = directory / "model.safetensors.index.json"
    single = directory / "model.safetensors"
    if not index.exists():
        file = _open_one(single, stack, device)
        return dict.fromkeys(file.keys(), file)
    content = read_json(index)
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise GipoError(f"{index} is corrupt: no weight_map")
    if others := [name for name in weights.values() if not SHARD.fullmatch(name)]:
        raise GipoError(f"{index} names {others[0]!r}, expected a file *.safetensors beside it")
    files = {name: _open_one(directory / name, stack, device) for name in sorted(set(weights.values()))}
    for name, file in files.items():
        held = set(file.keys())
        if lost := sorted(tensor for tensor, place in weights.items() if place == name and tensor not in held):
            raise GipoError(f"{directory / name}: no tensors {_some(lost)}, which {index.name} looks for there")
    return {tensor: files[name] for tensor, name in weights.items()}


def _open_one(path: Path, stack: ExitStack, device: str) -> Any:
    try:
        return stack.enter_context(safe_open(path, framework="pt", device=device))
    except FileNotFoundError as error:
        raise GipoError(f"cannot read {path}: no such file") from error
    except (OSError, SafetensorError) as error:
        raise GipoError(f"{path} is truncated or corrupt, expected safetensors: {error}") from error


def _tensor(path: Path, file: Any, name: str) -> Tensor:
    try:
        found: Tensor = file.get_tensor(name)
    except Exception as error:  # a type of numbers that torch lacks, or a file that was cut meanwhile
        raise GipoError(f"{path}: cannot read tensor {name}: {error}") from error
    return found


def _proprio(directory: Path, dtype: torch.dtype) -> tuple[Path, dict[str, Tensor]]:
    path = directory / "proprio_projector.safetensors"
    if path.exists():
        with ExitStack() as stack:
            file = _open_one(path, stack, "cpu")
            return path, {name: _tensor(path, file, name).to(dtype) for name in file.keys()}  # noqa: SIM118, it is no mapping
    pattern = "proprio_projector--*_checkpoint.pt"
    paths = sorted(directory.glob(pattern))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths) or "none"
        raise GipoError(f"{directory}: expected {path.name} or one {pattern}, found {found}")
    if paths[0].stat().st_size > MOST_PROPRIO:
        raise GipoError(f"{paths[0]} has more than {MOST_PROPRIO:,} bytes: this is no projector of proprioception")
    try:
        content = torch.load(paths[0], weights_only=True, map_location="cpu")
        return paths[0], {name.removeprefix("module."): tensor.to(dtype) for name, tensor in content.items()}
    except Exception as error:  # what is raised depends on where the damage is
        raise GipoError(f"{paths[0]} is corrupt, expected tensors: {error}") from error


def _unused(config: ModelConfig) -> Iterator[str]:
    """Beginnings of the names of published tensors that take part in nothing."""
    for tower, size in (("featurizer", config.dino), ("fused_featurizer", config.siglip)):
        for part in (f"blocks.{size.depth - 1}", "norm", "attn_pool"):
            yield f"vision_backbone.{tower}.{part}."


def _compare(where: Path, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    shapes = [
        f"{name} {list(found[name])} (expected {list(shape)})"
        for name, shape in expected.items()
        if found.get(name, shape) != shape
    ]
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": shapes,
    }
    if any(problems.values()):
        told = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in problems.items() if names)
        raise GipoError(f"{where}: tensors do not fit config.json: {told}")


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(itertools.islice(names, most)) + (", ..." if len(names) > most else "")
