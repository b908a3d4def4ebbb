"""Numeric parity: what the authors' own code computed with a small model, against what is computed here.

A fixture is the directory of a pretrained model with ``golden_*`` files beside the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gipo.errors import GipoError
from gipo.files import read_json
from gipo.golden import Arrays, Comparison, near, read_arrays, same, told
from gipo.models.openvla_oft import images, tokens
from gipo.models.openvla_oft.model import STOP_ID, OpenVLAOFT, Sequence, read
from gipo.models.openvla_oft.normalisation import Statistics, read_statistics
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.prompts import SPACE_ID, prompt, prompt_ids, read_tokenizer
from gipo.models.openvla_oft.vision import CHANNELS, pixel_values

FLOAT32 = 1e-4
"""Largest deviation of float32 networks: twice that of the authors' own from float64."""
FLOAT64 = 1e-12
"""Largest deviation of actions and proprioception."""

_EXACT = ("logit_positions", "mm_attention_mask", "argmax_token_ids", "argmax_token_ids_restricted", "bin_indices")
_FLOAT64 = ("normalized_actions", "actions", "env_actions")


def compare(directory: Path) -> list[Comparison]:
    """Compare every quantity of every ``golden_*`` file that is known here.

    Raises:
        GipoError: no such file is there, one is damaged, or the model cannot be loaded.
    """
    parts: dict[str, Callable[[Path], Iterator[Comparison]]] = {
        "golden_token_map.npz": _token_map,
        "golden_prompts.json": _prompts,
        "golden_preprocess.npz": _preprocess,
        "golden_inputs.npz": _inputs,
    }
    rows = []
    for name, part in parts.items():
        if (path := directory / name).exists():
            rows += told(path, partial(part, path))
    paths = [path for kind in ("predict", "forward") for path in sorted(directory.glob(f"golden_{kind}_*.npz"))]
    if paths:
        rows += told(directory, partial(_cases, directory, paths))
    if not rows:
        raise GipoError(f"{directory}: no golden_* files to compare with")
    return rows


def _token_map(path: Path) -> Iterator[Comparison]:
    golden = read_arrays(path)
    ids = golden["token_ids"].astype(np.int64)
    yield same(path, "edges of the bins", tokens.EDGES, golden["bins"])
    yield same(path, "centres of the bins", tokens.CENTRES, golden["bin_centers"])
    yield same(path, "bins of all ids", tokens.bins_of_ids(ids), golden["bin_indices"])
    yield same(path, "values of all ids", tokens.values_of_ids(ids), golden["normalized_values"])
    yield same(path, "ids of values", tokens.ids_of_values(golden["encode_values"]), golden["encode_token_ids"])


def _prompts(path: Path) -> Iterator[Comparison]:
    golden = read_json(path)["prompts"]
    wrong = sum(prompt(entry["task"]) != entry["prompt"] for entry in golden)
    yield Comparison(path.name, f"text of {len(golden)} prompts", wrong, 0)
    name = f"ids of {len(golden)} prompts"
    if (path.parent / "tokenizer.json").exists():
        tokenizer = read_tokenizer(path.parent)
        wrong = sum(prompt_ids(tokenizer, entry["task"]) != [*entry["input_ids"], SPACE_ID] for entry in golden)
        yield Comparison(path.name, name, wrong, 0)
    else:
        yield Comparison(path.name, f"{name}: no tokenizer.json here", None, 0)


def _preprocess(path: Path) -> Iterator[Comparison]:
    golden = read_arrays(path)
    for name in (key.removesuffix("_raw_256") for key in golden if key.endswith("_raw_256")):
        rotated = images.rotate(golden[f"{name}_raw_256"])
        data = images.encode_jpeg(rotated)
        decoded = images.decode_jpeg(data)
        resized = images.resize(decoded)
        cropped = images.center_crop(resized)
        written = golden[f"{name}_jpeg_bytes"].tobytes()
        yield same(path, f"{name}: rotated", rotated, golden[f"{name}_rotated_256"])
        yield Comparison(path.name, f"{name}: JPEG", float(data != written), 0)
        yield same(path, f"{name}: decoded", decoded, golden[f"{name}_jpeg_decoded_256"])
        yield same(path, f"{name}: resized", resized, golden[f"{name}_resized_224"])
        yield same(path, f"{name}: cropped", cropped, golden[f"{name}_center_crop_224"])
        for stage, image in (("resized_224", resized), ("center_crop_224", cropped)):
            if (key := f"{name}_{stage}_pixel_values") in golden:
                yield same(path, f"{name}: pixel values, {stage}", _pixels(image[None]), golden[key])
    for key in (key for key in golden if key.startswith("obs_") and key.endswith("_image_224")):
        cropped = images.center_crop(golden[key])
        yield same(path, f"{key}: cropped", cropped, golden[f"{key.removesuffix('_224')}_center_crop_224"])


def _inputs(path: Path) -> Iterator[Comparison]:
    golden = read_arrays(path)
    found = np.stack([_pixels(sample) for sample in golden["images_uint8"]])
    yield same(path, "pixel values", found, golden["pixel_values"])
    proprio = tokens.normalise_proprio(golden["proprio_raw"], _statistics(path.parent))
    yield near(path, "proprioception", proprio, golden["proprio_normalized"], FLOAT64)
    wrong = sum(prompt(str(task)) != text for task, text in zip(golden["tasks"], golden["prompts"], strict=True))
    yield Comparison(path.name, "prompts", wrong, 0)


def _pixels(sample: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return pixel_values(torch.from_numpy(np.ascontiguousarray(sample))[None])[0].numpy()


def _cases(directory: Path, paths: list[Path]) -> Iterator[Comparison]:
    statistics = _statistics(directory)
    inputs = read_arrays(directory / "golden_inputs.npz")
    goldens = {path: read_arrays(path) for path in paths}
    with_proprio = any("proprio_normalized" in golden for golden in goldens.values())
    model = load(directory, proprio=with_proprio, dtype=torch.float32)
    for path, golden in goldens.items():
        for name, found in computed(model, golden, inputs, statistics).items():
            if name in _EXACT:
                yield same(path, name, found, golden[name])
            else:
                yield near(path, name, found, golden[name], FLOAT64 if name in _FLOAT64 else FLOAT32)


@torch.no_grad()
def computed(model: OpenVLAOFT, golden: Arrays, inputs: Arrays, statistics: Statistics) -> Arrays:
    """Numbers that this implementation computes for a case, under the names of its file, as far as they are known here.

    Args:
        model: float32.
        golden: arrays of a file ``golden_predict_*`` or ``golden_forward_*``.
        inputs: those of golden_inputs.npz.
        statistics: for un-normalised actions.
    """
    rows, count = golden["sample_rows"], int(golden["num_images"])
    pixels = torch.from_numpy(inputs["pixel_values"][rows][:, : CHANNELS * count])
    known = torch.from_numpy(golden["attention_mask"]).bool()
    lengths = known.sum(dim=1) - (tokens.SLOTS + 1)  # the slots and the stop token stand behind the prompt
    prompts = torch.from_numpy(golden["input_ids"])[:, : int(lengths.max())]
    mask = torch.arange(prompts.shape[1]) < lengths[:, None]
    proprio = None
    if "proprio_raw" in golden:
        normalised = tokens.normalise_proprio(golden["proprio_raw"], statistics)
        proprio = torch.from_numpy(normalised).to(torch.float32)
    sequence = model.embed(pixels, prompts, None if bool(mask.all()) else mask, proprio)
    layers = _layers(model, sequence)
    answers = read(layers[-1], sequence.first, tokens.SLOTS + 1)
    hidden = answers[:, :-1]
    full = model.vocabulary_logits(answers)
    found = {
        **_seen(model, golden, pixels, proprio, sequence),
        **_said(model.action_logits(hidden), full[:, :-1], golden),
        **_acted(full[:, :-1].argmax(dim=-1).numpy(), statistics),
        "last_hidden": hidden,
        "hidden_all_layers_slots_0_1_55": torch.stack(
            [read(layer, sequence.first, tokens.SLOTS)[:, [0, 1, 55]] for layer in layers]
        ),
    }
    if "gt_token_ids" in golden:
        found |= _learned(full, torch.from_numpy(golden["gt_token_ids"]))
    arrays = {name: value.numpy() if isinstance(value, Tensor) else np.asarray(value) for name, value in found.items()}
    return {name: array for name, array in arrays.items() if name in golden}


def _layers(model: OpenVLAOFT, sequence: Sequence) -> list[Tensor]:
    """Hidden states before the first layer and after every one, the last after the final norm."""
    outputs: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for layer in model.language_model.model.layers
    ]
    try:
        hidden = model.transform(sequence)
    finally:
        for hook in hooks:
            hook.remove()
    return [sequence.embeddings, *outputs[:-1], hidden]


def _seen(
    model: OpenVLAOFT, golden: Arrays, pixels: Tensor, proprio: Tensor | None, sequence: Sequence
) -> dict[str, Tensor]:
    patches = model.vision_backbone(pixels)
    rows, length = golden["patch_row_index"], sequence.embeddings.shape[:2]
    found = {
        "vision_patches_rows": patches[:, rows],
        "vision_patches_mean": patches.mean(dim=1),
        "vision_patches_absmean": patches.abs().mean(dim=1),
        "projected_patches_rows": model.projector(patches)[:, rows],
        "mm_attention_mask": torch.ones(length) if sequence.mask is None else sequence.mask,
        "logit_positions": (sequence.first + torch.arange(tokens.SLOTS)).expand(len(pixels), -1),
    }
    if "inputs_embeds_row_index" in golden:
        found["inputs_embeds_rows"] = sequence.embeddings[0, golden["inputs_embeds_row_index"]]
    if proprio is not None:
        found["proprio_normalized"] = proprio
        found["proprio_feature"] = model.proprio_features(proprio)
    return found


def _said(actions: Tensor, full: Tensor, golden: Arrays) -> dict[str, Tensor]:
    best = full.topk(2, dim=-1).values
    found = {
        "logits_action_bins": actions,
        "logits_probe": full[..., golden["probe_ids"]],
        "logsumexp_full_vocab": full.double().logsumexp(dim=-1),
        "top2_margin": best[..., 0] - best[..., 1],
        "argmax_token_ids": full.argmax(dim=-1),
        "argmax_token_ids_restricted": tokens.FIRST_ID + actions.argmax(dim=-1),
    }
    if "logits_full_positions" in golden:
        found["logits_full"] = full[:, golden["logits_full_positions"]]
    return found


def _acted(ids: tokens.Ints, statistics: Statistics) -> Arrays:
    chunks = ids.reshape(-1, tokens.CHUNK, tokens.DIMENSIONS)
    actions = tokens.unnormalise(tokens.values_of_ids(chunks), statistics)
    return {
        "bin_indices": tokens.bins_of_ids(chunks),
        "normalized_actions": tokens.values_of_ids(chunks),
        "actions": actions,
        "env_actions": tokens.env_actions(actions),
    }


def _learned(full: Tensor, taken: Tensor) -> dict[str, Any]:
    """Loss and metrics of the authors' fine-tuning: 56 actions and the stop token, over the whole vocabulary."""
    labels = torch.cat([taken, taken.new_full((len(taken), 1), STOP_ID)], dim=1)
    losses = cross_entropy(full.transpose(1, 2), labels, reduction="none")
    guesses = full[:, :-1].argmax(dim=-1)
    apart = np.abs(tokens.values_of_ids(guesses.numpy()) - tokens.values_of_ids(taken.numpy()))
    right, first = guesses == taken, tokens.DIMENSIONS
    return {
        "token_nll": losses,
        "loss": losses.mean(),
        "curr_action_accuracy": right[:, :first].float().mean(),
        "curr_action_l1_loss": apart[:, :first].mean(),
        "next_actions_accuracy": right[:, first:].float().mean(),
        "next_actions_l1_loss": apart[:, first:].mean(),
    }


def _statistics(directory: Path) -> Statistics:
    found = read_json(directory / "dataset_statistics.json")
    if not isinstance(found, dict) or len(found) != 1:
        raise GipoError(f"{directory / 'dataset_statistics.json'}: expected statistics of one data set")
    return read_statistics(directory, next(iter(found)))
