"""Numbers of the authors' own code, and mistakes that must not go unnoticed."""

import io
import math
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu
from typer.testing import CliRunner

from gipo import golden
from gipo.cli import cli
from gipo.errors import GipoError
from gipo.models.openvla_oft import parity
from gipo.models.openvla_oft.model import OpenVLAOFT, Sequence, read
from gipo.models.openvla_oft.parity import Arrays, Comparison

GIVEN = {
    *("probe_ids", "logits_full_positions", "prompt_input_ids", "prompt_attention_mask", "input_ids", "attention_mask"),
    *("labels", "num_images", "first_logit_position", "patch_row_index", "inputs_embeds_row_index", "sample_rows"),
    *("proprio_raw", "gt_actions_normalized", "gt_token_ids"),
    *("fp64_logits_action_bins_maxdiff", "fp64_last_hidden_maxdiff"),
}
"""Arrays of the case files that say what was computed, rather than its result."""


@pytest.fixture(scope="module")
def comparisons(golden: Path) -> list[Comparison]:
    return parity.compare(golden)


def test_every_quantity_of_the_fixture_agrees(comparisons: list[Comparison]):
    assert [row for row in comparisons if not row.passed] == []
    assert [row.quantity for row in comparisons if row.deviation is None] == [
        "ids of 40 prompts: no tokenizer.json here"
    ]


def test_nothing_that_the_authors_computed_is_left_out(golden: Path, comparisons: list[Comparison]):
    assert {row.file for row in comparisons} == {path.name for path in golden.glob("golden_*")}
    cases = [*golden.glob("golden_predict_*"), *golden.glob("golden_forward_*")]
    assert len(cases) == 9
    for path in cases:
        compared = {row.quantity for row in comparisons if row.file == path.name}
        assert set(np.load(path)) == compared | (GIVEN & set(np.load(path)))


@pytest.fixture
def token_map(golden: Path, tmp_path: Path) -> Path:
    """A fixture that holds golden_token_map.npz alone, to be broken."""
    shutil.copyfile(golden / "golden_token_map.npz", tmp_path / "golden_token_map.npz")
    return tmp_path


def test_the_command_prints_the_table(token_map: Path):
    result = CliRunner().invoke(cli, ["parity", str(token_map)])
    assert result.exit_code == 0, result.output
    assert "golden_token_map.npz" in result.output
    assert "FAILED" not in result.output


def test_the_command_fails_beyond_the_tolerance(token_map: Path):
    path = token_map / "golden_token_map.npz"
    arrays = dict(np.load(path))
    arrays["bin_indices"][31872] += 1
    np.savez(path, **arrays)
    result = CliRunner().invoke(cli, ["parity", str(token_map)])
    assert result.exit_code == 1
    assert "FAILED" in result.output
    assert str(result.exception) == "1 of 5 quantities deviate: golden_token_map.npz: bins of all ids"


def test_damage_is_named(token_map: Path):
    path = token_map / "golden_token_map.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GipoError, match=r"golden_token_map\.npz is truncated or corrupt"):
        parity.compare(token_map)
    path.unlink()
    with pytest.raises(GipoError, match="no golden_"):
        parity.compare(token_map)


def test_an_array_that_is_missing_or_does_not_fit_is_named(token_map: Path):
    path = token_map / "golden_token_map.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{name: array for name, array in arrays.items() if name != "bins"})
    with pytest.raises(GipoError, match=r"golden_token_map\.npz has no array 'bins'"):
        parity.compare(token_map)
    np.savez(path, **arrays | {"token_ids": np.array(["a"])})
    with pytest.raises(GipoError, match=r"golden_token_map\.npz: what was computed there does not fit together"):
        parity.compare(token_map)


def test_an_array_is_made_no_room_for_beyond_its_file(token_map: Path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    with zipfile.ZipFile(token_map / "golden_token_map.npz", "w") as file:
        file.writestr("token_ids.npy", header.getvalue())
    with pytest.raises(GipoError, match=r"corrupt, expected npz: an array \(1099511627776,\) of float64 in 128 bytes"):
        parity.compare(token_map)


def test_a_bomb_is_not_unpacked(token_map: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(golden, "MOST_GOLDEN", 10_000)
    np.savez_compressed(token_map / "golden_token_map.npz", token_ids=np.zeros(10_000, np.int64))
    with pytest.raises(GipoError, match=r"has 1 arrays of 80,128 bytes, which is too much"):
        parity.compare(token_map)


@pytest.mark.parametrize("content", [b"[]", b'{"prompts": 3}', b'{"prompts": [{"task": 3}]}'])
def test_prompts_of_another_form_are_named(tmp_path: Path, content: bytes):
    (tmp_path / "golden_prompts.json").write_bytes(content)
    with pytest.raises(GipoError, match=r"golden_prompts\.json: what was computed there does not fit"):
        parity.compare(tmp_path)


@pytest.mark.parametrize(("deviation", "passed"), [(0.5, True), (1.5, False), (math.nan, False), (math.inf, False)])
def test_what_is_no_number_does_not_pass(deviation: float, passed: bool):
    assert Comparison("file", "quantity", deviation, 1.0).passed == passed


@dataclass
class Case:
    """A model, about to make a mistake, and what it is given."""

    model: OpenVLAOFT
    patch: pytest.MonkeyPatch
    pixels: Tensor
    ids: Tensor
    mask: Tensor | None
    proprio: Tensor
    shift: int = 0

    def logits(self) -> Tensor:
        sequence = self.model.embed(self.pixels, self.ids, self.mask, self.proprio)
        hidden = read(self.model.transform(sequence), sequence.first + self.shift, 56)
        return self.model.action_logits(hidden)

    def each_sequence(self, change: Callable[[Sequence], Sequence]) -> None:
        embed = self.model.embed
        self.patch.setattr(self.model, "embed", lambda *arguments: change(embed(*arguments)))


def causal(case: Case) -> None:
    case.patch.setattr(case.model.language_model.config, "is_causal", True)
    language_model = case.model.language_model.model
    case.patch.setattr(
        case.model,
        "transform",
        lambda sequence: (
            language_model(
                inputs_embeds=sequence.embeddings, attention_mask=sequence.mask, use_cache=False
            ).last_hidden_state
        ),
    )


def shifted(case: Case) -> None:
    case.shift = 1


def slots_not_zeroed(case: Case) -> None:
    bos = case.model.language_model.model.embed_tokens.weight[1]
    case.each_sequence(lambda s: replace(s, embeddings=torch.cat([s.embeddings[:, :-57], bos.expand(1, 56, -1),
                                                                  s.embeddings[:, -1:]], dim=1)))  # fmt: skip


def towers_swapped(case: Case) -> None:
    case.pixels = case.pixels.unflatten(1, (2, 2, 3)).flip(2).flatten(1, 3)


def cameras_swapped(case: Case) -> None:
    case.pixels = case.pixels.unflatten(1, (2, 6)).flip(1).flatten(1, 2)


def siglip_first(case: Case) -> None:
    vision, width = case.model.vision_backbone.forward, 48
    swapped = lambda pixels: torch.cat([(p := vision(pixels))[..., width:], p[..., :width]], dim=-1)  # noqa: E731
    case.patch.setattr(case.model.vision_backbone, "forward", swapped)


def registers_dropped(case: Case) -> None:
    dino = case.model.vision_backbone.featurizer
    case.patch.setitem(dino._parameters, "reg_token", torch.nn.Parameter(dino.reg_token[:, :0]))


def layer_scale_ignored(case: Case) -> None:
    for block in case.model.vision_backbone.featurizer.blocks:
        for scale in (block.ls1, block.ls2):
            case.patch.setattr(scale, "forward", lambda features: features)


def rms_eps(case: Case) -> None:
    for module in case.model.language_model.modules():
        if hasattr(module, "variance_epsilon"):
            case.patch.setattr(module, "variance_epsilon", 1e-5)


def layer_norm_eps(case: Case) -> None:
    for module in case.model.vision_backbone.modules():
        if isinstance(module, torch.nn.LayerNorm):
            case.patch.setattr(module, "eps", 1e-5)


def tanh_gelu(case: Case, tower: str) -> None:
    for block in getattr(case.model.vision_backbone, tower).blocks:
        forward = lambda x, mlp=block.mlp: mlp.fc2(gelu(mlp.fc1(x), approximate="tanh"))  # noqa: E731
        case.patch.setattr(block.mlp, "forward", forward)


def tanh_gelu_in_siglip(case: Case) -> None:
    tanh_gelu(case, "fused_featurizer")


def tanh_gelu_in_dino(case: Case) -> None:
    tanh_gelu(case, "featurizer")


def tanh_gelu_of_proprio(case: Case) -> None:
    projector = case.model.proprio_projector
    forward = lambda x: projector.fc2(gelu(projector.fc1(x), approximate="tanh"))  # noqa: E731
    case.patch.setattr(projector, "forward", forward)


def proprio_first(case: Case) -> None:
    order = [0, 513, *range(1, 513)]
    case.each_sequence(
        lambda s: replace(s, embeddings=torch.cat([s.embeddings[:, order], s.embeddings[:, 514:]], dim=1))
    )


def patches_before_bos(case: Case) -> None:
    order = [*range(1, 514), 0]
    case.each_sequence(
        lambda s: replace(s, embeddings=torch.cat([s.embeddings[:, order], s.embeddings[:, 514:]], dim=1))
    )


def no_stop(case: Case) -> None:
    case.each_sequence(lambda s: replace(s, embeddings=s.embeddings[:, :-1]))


def rope_theta(case: Case) -> None:
    rotary = case.model.language_model.model.rotary_emb
    frequencies = 1 / 500_000 ** (torch.arange(0, 16, 2) / 16)
    case.patch.setitem(rotary._buffers, "inv_freq", frequencies)


def pads_attended(case: Case) -> None:
    case.each_sequence(lambda s: replace(s, mask=torch.ones_like(s.mask)))


SINGLE, PADDED = "golden_predict_sample0_images2_proprio1.npz", "golden_forward_batch2_images2_proprio1.npz"


@pytest.mark.parametrize(
    ("file", "mistake", "deviation"),
    [
        (SINGLE, shifted, 8.27),
        (SINGLE, causal, 5.77),
        (PADDED, causal, 5.77),
        (PADDED, pads_attended, 4.90),
        (SINGLE, slots_not_zeroed, 7.95),
        (SINGLE, towers_swapped, 5.90),
        (SINGLE, cameras_swapped, 5.35),
        (SINGLE, siglip_first, 8.87),
        (SINGLE, registers_dropped, 2.67),
        (SINGLE, layer_scale_ignored, 5.19),
        (SINGLE, rms_eps, 0.408),
        (SINGLE, layer_norm_eps, 1.89e-3),
        (SINGLE, tanh_gelu_in_siglip, 2.61e-3),
        (SINGLE, tanh_gelu_in_dino, 3.37e-3),
        (SINGLE, tanh_gelu_of_proprio, 4.16e-4),
        (SINGLE, proprio_first, 4.03),
        (SINGLE, patches_before_bos, 4.80),
        (SINGLE, no_stop, 1.25),
        (SINGLE, rope_theta, 6.24),
    ],
)
@torch.no_grad()
def test_a_mistake_deviates_as_far_as_it_does_in_the_authors_code(
    golden: Path, golden_model: OpenVLAOFT, golden_inputs: Arrays, monkeypatch: pytest.MonkeyPatch,
    file: str, mistake: Callable[[Case], None], deviation: float,
):  # fmt: skip
    arrays: dict[str, Any] = dict(np.load(golden / file))
    lengths = torch.tensor(arrays["attention_mask"]).sum(dim=1) - 57
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    case = Case(
        golden_model,
        monkeypatch,
        torch.tensor(golden_inputs["pixel_values"][arrays["sample_rows"]]),
        torch.tensor(arrays["input_ids"])[:, : mask.shape[1]],
        mask if file == PADDED else None,
        torch.tensor(arrays["proprio_normalized"], dtype=torch.float32),
    )
    mistake(case)
    found = (case.logits() - torch.tensor(arrays["logits_action_bins"])).abs().max().item()
    assert found == pytest.approx(deviation, rel=0.02, abs=5e-5)
    assert found > 3 * parity.FLOAT32
