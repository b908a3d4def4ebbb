"""Loading: whole or sharded, of either type, and one clear error for whatever is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gipo.errors import GipoError
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.tiny import write_tiny

HEAD = "language_model.lm_head.weight"
NORM = "language_model.model.norm.weight"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint as links, to be replaced one by one."""
    for path in tiny.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def rewrite(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    (directory / "model.safetensors").unlink()
    save_file(tensors, directory / "model.safetensors")


def shard(directory: Path) -> None:
    """Replace model.safetensors by two shards and their index."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in halves.items():
        save_file({name: tensors[name] for name in held}, directory / file)
    weights = {name: file for file, held in halves.items() for name in held}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))


def test_every_tensor_is_the_one_of_the_file(tiny: Path):
    model = load(tiny, proprio=True, dtype=torch.float32)
    state = model.state_dict()
    published = load_file(tiny / "model.safetensors")
    projector = load_file(tiny / "proprio_projector.safetensors")
    assert all(torch.equal(state[f"proprio_projector.{name}"], tensor) for name, tensor in projector.items())
    rest = {name: tensor for name, tensor in state.items() if not name.startswith("proprio_projector.")}
    assert all(torch.equal(published[name], tensor) for name, tensor in rest.items())
    assert {name.split(".")[2] for name in published.keys() - rest.keys()} == {"blocks", "norm", "attn_pool"}
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert not model.training


def test_shards_are_the_same_as_one_file(tiny: Path, copy: Path):
    shard(copy)
    whole, sharded = (load(directory, dtype=torch.float32).state_dict() for directory in (tiny, copy))
    assert whole.keys() == sharded.keys()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)


def test_weights_are_bfloat16_unless_asked_for_otherwise_and_rotary_tables_are_not(tiny: Path):
    model = load(tiny, proprio=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}


def test_the_same_seed_writes_the_same_checkpoint(tiny: Path, tmp_path: Path):
    write_tiny(tmp_path / "same")
    write_tiny(tmp_path / "other", seed=1)
    files = sorted(path.name for path in tiny.iterdir())
    assert all((tmp_path / "same" / name).read_bytes() == (tiny / name).read_bytes() for name in files)
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != (tiny / "model.safetensors").read_bytes()


def test_the_tiny_checkpoint_has_the_published_tensors(golden: Path, tiny: Path):
    for file in ("model.safetensors", "proprio_projector.safetensors"):
        ours, theirs = (
            {name: tensor.shape for name, tensor in load_file(directory / file).items()} for directory in (tiny, golden)
        )
        assert ours == theirs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop(NORM), ["1 missing", NORM]),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), ["1 unexpected: extra"]),
        (lambda tensors: tensors.update({NORM: torch.zeros(63)}), [f"1 of another shape: {NORM} [63] (expected [64])"]),
        (lambda tensors: [tensors.pop(n) for n in list(tensors) if ".fused_feat" in n], ["27 missing", "..."]),
    ],
    ids=["missing", "unexpected", "shape", "many"],
)
def test_tensors_that_do_not_fit_are_named(copy: Path, change: Callable[[dict[str, Any]], Any], words: list[str]):
    rewrite(copy, change)
    with pytest.raises(GipoError) as error:
        load(copy)
    assert all(word in str(error.value) for word in [str(copy), *words]), error.value


def test_all_that_does_not_fit_is_told_at_once(copy: Path):
    rewrite(copy, lambda tensors: tensors.update(extra=tensors.pop(NORM)))
    with pytest.raises(GipoError, match=rf"1 missing: {NORM}; 1 unexpected: extra"):
        load(copy)


def test_unused_tensors_may_be_absent(copy: Path):
    rewrite(copy, lambda tensors: [tensors.pop(name) for name in list(tensors) if "attn_pool" in name])
    load(copy)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copy: Path, file: str):
    (copy / file).unlink()
    with pytest.raises(GipoError, match=rf"cannot read .*/{file}"):
        load(copy)


def test_a_missing_shard_and_a_tensor_missing_from_its_shard_are_named(copy: Path):
    shard(copy)
    held = load_file(copy / "b.safetensors")
    lost = sorted(held)[0]
    del held[lost]
    save_file(held, copy / "b.safetensors")
    with pytest.raises(GipoError, match=rf"b\.safetensors: no tensors {lost}"):
        load(copy)
    (copy / "b.safetensors").unlink()
    with pytest.raises(GipoError, match=r"cannot read .*/b\.safetensors"):
        load(copy)


@pytest.mark.parametrize("content", [b"", b"garbage" * 10, b'{"weight_map": 3}'])
def test_a_corrupt_index_is_named(copy: Path, content: bytes):
    (copy / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(GipoError, match=r"model\.safetensors\.index\.json is corrupt"):
        load(copy)


@pytest.mark.parametrize("name", ["../a.safetensors", "/etc/passwd", "a.bin", "x" * 300 + ".safetensors"])
def test_a_shard_lies_beside_its_index(copy: Path, name: str):
    replace(copy / "model.safetensors.index.json", json.dumps({"weight_map": {NORM: name}}).encode())
    with pytest.raises(GipoError, match=r"expected a file \*\.safetensors beside it"):
        load(copy)


def test_truncated_weights_are_named(copy: Path):
    replace(copy / "model.safetensors", (copy / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(GipoError, match=r"model\.safetensors is truncated or corrupt"):
        load(copy)


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda config: config.pop(key)


def with_(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: config.update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("text_config"), "text_config"),
        (without("timm_model_ids"), "timm_model_ids"),
        (with_(model_type="llama"), "model_type = 'llama'"),
        (with_(use_fused_vision_backbone=False), "use_fused_vision_backbone = False"),
        (with_(timm_model_ids=["vit_large_patch14_reg4_dinov2.lvd142m", "resnet18"]), "timm_model_ids.1 = 'resnet18'"),
        (with_(image_sizes=[384, 384]), "image_sizes.0 = 384"),
        (with_(n_action_bins=128), "n_action_bins = 128"),
        (with_(pad_to_multiple_of=1), "pad_to_multiple_of = 32063, expected 32000"),
        (with_(text_config={"vocab_size": 32064, "hidden_size": "wide"}), "text_config"),
        (with_(tiny_vision={"featurizer": {"depth": 4}}), "tiny_vision.featurizer"),
        (with_(tiny_vision={"featurizer": {"depth": 10**9, "embed_dim": 8, "num_heads": 2}}), "depth = 1000000000"),
        (with_(text_config={"vocab_size": 32064, "num_hidden_layers": 10**9}), "num_hidden_layers = 1000000000"),
        (with_(text_config={"vocab_size": 32064, "hidden_size": -8, "head_dim": 2}), "hidden size (-8)"),
    ],
)
def test_a_config_of_another_model_is_named(copy: Path, change: Callable[[dict[str, Any]], Any], words: str):
    config = json.loads((copy / "config.json").read_text())
    change(config)
    replace(copy / "config.json", json.dumps(config).encode())
    with pytest.raises(GipoError) as error:
        load(copy)
    assert str(error.value).startswith(f"{copy / 'config.json'}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_corrupt_config_is_named(copy: Path, content: bytes):
    replace(copy / "config.json", content)
    with pytest.raises(GipoError, match=r"config\.json"):
        load(copy)


class TestProprioProjector:
    """The authors' pickle in place of the safetensors file."""

    @pytest.fixture
    def state(self, copy: Path) -> dict[str, torch.Tensor]:
        path = copy / "proprio_projector.safetensors"
        state = load_file(path)
        path.unlink()
        return {f"module.{name}": tensor for name, tensor in state.items()}

    def test_is_the_same(self, tiny: Path, copy: Path, state: dict[str, torch.Tensor]):
        torch.save(state, copy / "proprio_projector--150000_checkpoint.pt")
        ours, theirs = (load(directory, proprio=True).state_dict() for directory in (copy, tiny))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    def test_is_not_needed_where_it_is_not_asked_for(self, copy: Path, state: dict[str, torch.Tensor]):
        assert load(copy).proprio_projector is None

    def test_is_missed(self, copy: Path, state: dict[str, torch.Tensor]):
        with pytest.raises(GipoError, match="found none"):
            load(copy, proprio=True)

    def test_is_not_guessed(self, copy: Path, state: dict[str, torch.Tensor]):
        for step in (1, 2):
            torch.save(state, copy / f"proprio_projector--{step}_checkpoint.pt")
        with pytest.raises(GipoError, match=r"--1_checkpoint\.pt, proprio_projector--2_checkpoint\.pt"):
            load(copy, proprio=True)

    def test_of_another_size_is_named(self, copy: Path, state: dict[str, torch.Tensor]):
        state["module.fc1.weight"] = torch.zeros(64, 7)
        torch.save(state, copy / "proprio_projector--1_checkpoint.pt")
        with pytest.raises(GipoError, match=r"--1_checkpoint\.pt: .*fc1\.weight \[64, 7\] \(expected \[64, 8\]\)"):
            load(copy, proprio=True)

    @pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04K\x01."])
    def test_damage_is_named(self, copy: Path, state: dict[str, torch.Tensor], content: bytes):
        (copy / "proprio_projector--1_checkpoint.pt").write_bytes(content)
        with pytest.raises(GipoError, match=r"--1_checkpoint\.pt is corrupt"):
            load(copy, proprio=True)

    def test_code_in_it_is_not_run(self, copy: Path, state: dict[str, torch.Tensor]):
        torch.save({"fc1.weight": Path("x")}, copy / "proprio_projector--1_checkpoint.pt")
        with pytest.raises(GipoError, match="is corrupt"):
            load(copy, proprio=True)
