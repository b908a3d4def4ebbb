"""Everything that is read: a function for each kind of input, which writes a damaged one and reads it."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import factories
from checkout import ROOT
from fuzz.mutations import damaged, damaged_json, damaged_yaml

Kind = Callable[[Path, random.Random], Any]
"""Takes an empty folder, and where chance comes from."""

KINDS: dict[str, Kind] = {}
_SCALES = sorted((ROOT / "workflow" / "config").glob("*.yaml"))
_ARRAYS = {"token_ids": np.arange(9), "bins": np.linspace(-1, 1, 256), "values": np.zeros((2, 3), np.float32)}
_FILES = {"assets/a.xml": b"<one/>" * 999, "assets/b/c.png": bytes(range(256)) * 40}


def kind(function: Kind) -> Kind:
    """Register a kind by its name, with spaces."""
    KINDS[function.__name__.replace("_", " ")] = function
    return function


@kind
def scale(folder: Path, chance: random.Random) -> None:
    from gipo.scale import Scale

    small = [path for path in _SCALES if path.stem not in ("paper", "full")]
    path = folder / "scale.yaml"
    path.write_bytes(damaged_yaml(chance.choice(small).read_bytes(), chance))
    _ = Scale.load(path).runs


@kind
def site(folder: Path, chance: random.Random) -> None:
    from gipo.cluster.site import Site

    example = (ROOT / "profiles" / "slurm" / "site.example.yaml").read_bytes()
    (folder / "site.yaml").write_bytes(damaged_yaml(example, chance))
    _ = Site.load(folder / "site.yaml").longest_run


@kind
def plan(folder: Path, chance: random.Random) -> None:
    from gipo.cluster.requests import read_plan

    content = b'{"runs": {"a/b/c/seed0-01234567": {"acting": 1.5, "learning": 2, "gpu_learning": 0}}}'
    (folder / "plan.json").write_bytes(damaged_json(content, chance))
    read_plan(folder / "plan.json")


@kind
def manifest(folder: Path, chance: random.Random) -> None:
    from gipo.manifest import Manifest

    (folder / "weights.csv").write_bytes(b"a,b\n1,2\n")
    Manifest(files=Manifest.facts(folder, ["weights.csv"])).write(folder / "manifest.json")
    victim = chance.choice((folder / "manifest.json", folder / "weights.csv"))
    victim.write_bytes((damaged_json if victim.suffix == ".json" else damaged)(victim.read_bytes(), chance))
    Manifest.read(folder / "manifest.json").read_bytes(folder, "weights.csv")


@kind
def facts_of_a_table(folder: Path, chance: random.Random) -> None:
    from gipo.manifest import Manifest

    (folder / "table.parquet").write_bytes(damaged(_table(), chance))
    (folder / "table.csv").write_bytes(damaged(b'a,b\n1,2\n"x\ny",3\n', chance))
    Manifest.facts(folder, [chance.choice(("table.parquet", "table.csv"))])


@kind
def table(folder: Path, chance: random.Random) -> None:
    from gipo.tables import RUN_METRICS, read_table

    (folder / "metrics.parquet").write_bytes(damaged(_table(), chance))
    read_table(folder / "metrics.parquet", RUN_METRICS)


@kind
def batch(folder: Path, chance: random.Random) -> None:
    from gipo.diagnose.batch import read

    samples = {"log_ratio": [0.5, -0.5], "advantage": [1.0, -2.0], "gap": [0, 7], "mask": [True, False]}
    npz, parquet = io.BytesIO(), io.BytesIO()
    np.savez(npz, **samples)
    pd.DataFrame(samples).to_parquet(parquet)
    csv = b"log_ratio,advantage,gap,mask\n0.5,1,0,1\n-0.5,-2,7,0\n"
    suffix, content = chance.choice(((".npz", npz.getvalue()), (".parquet", parquet.getvalue()), (".csv", csv)))
    (folder / f"batch{suffix}").write_bytes(damaged(content, chance))
    read(folder / f"batch{suffix}")


@kind
def checkpoint(folder: Path, chance: random.Random) -> None:
    from gipo.runs import checkpoint

    checkpoint.save(folder / "checkpoint.pt", {"update": 3, "weights": [1.0, 2.0], "name": "x"})
    (folder / "checkpoint.pt").write_bytes(damaged((folder / "checkpoint.pt").read_bytes(), chance))
    checkpoint.load(folder / "checkpoint.pt")


@kind
def csv(folder: Path, chance: random.Random) -> None:
    from gipo.stages import StudyFolder

    content = (ROOT / "reports" / "laptop" / "scorecard.csv").read_bytes()[:4000]
    StudyFolder(folder).write_stage("scorecard", {"scorecard.csv": damaged(content, chance)})
    StudyFolder(folder).read_csv("scorecard.csv", ["claim", "verdict"])


@kind
def stage(folder: Path, chance: random.Random) -> None:
    from gipo.stages import StudyFolder

    study = StudyFolder(folder)
    study.write_stage("weights", {"weights.csv": b"a,b\n1,2\n"}, {"tables": "0" * 64})
    path = study.manifest_path("weights")
    path.write_bytes(damaged(path.read_bytes(), chance))
    StudyFolder(folder).read_csv("weights.csv", ["a"])


@kind
def archive(folder: Path, chance: random.Random) -> None:
    from gipo.envs.archives import members

    path = folder / "archive"
    content = chance.choice((_zip, _tar))()
    if chance.random() < 0.5:
        content = damaged(content, chance)
        content = chance.choice((gzip.compress, lzma.compress, bytes))(content)
    else:
        content = damaged(chance.choice((gzip.compress, lzma.compress, bytes))(content), chance)
    path.write_bytes(content)
    sizes = {name.removeprefix("assets/"): len(file) for name, file in _FILES.items()}
    for _, pieces in members(path, "/assets/", sizes):
        sum(map(len, pieces))


@kind
def numbers_of_the_authors(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft import parity

    content = io.BytesIO()
    (np.savez_compressed if chance.random() < 0.5 else np.savez)(content, **_ARRAYS)
    (folder / "golden_token_map.npz").write_bytes(damaged(content.getvalue(), chance))
    parity.compare(folder)


@kind
def weights(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft.pretrained import load

    name = "model.safetensors" if chance.random() < 0.8 else "proprio_projector.safetensors"
    content = bytearray((tiny() / name).read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    head = damaged(bytes(content[:length]), chance)
    _model(folder, {name: head + content[length:]})
    load(folder, proprio=True)


@kind
def model_config(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft.pretrained import load

    _model(folder, {"config.json": damaged_json((tiny() / "config.json").read_bytes(), chance)})
    load(folder)


@kind
def statistics_of_data(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft.normalisation import read_statistics

    content = (tiny() / "dataset_statistics.json").read_bytes()
    (folder / "dataset_statistics.json").write_bytes(damaged_json(content, chance))
    read_statistics(folder, "libero_spatial")


@kind
def tokenizer(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft.prompts import prompt_ids, read_tokenizer

    (folder / "tokenizer.json").write_bytes(damaged_json((tiny() / "tokenizer.json").read_bytes(), chance))
    prompt_ids(read_tokenizer(folder), "open the drawer")


@kind
def projector(folder: Path, chance: random.Random) -> None:
    import torch

    from gipo.models.openvla_oft.pretrained import load

    _model(folder, {})
    (folder / "proprio_projector.safetensors").unlink()
    content = io.BytesIO()
    torch.save({"module.fc1.weight": torch.zeros(4, 8), "module.fc1.bias": torch.zeros(4)}, content)
    (folder / "proprio_projector--1_checkpoint.pt").write_bytes(damaged(content.getvalue(), chance))
    load(folder, proprio=True)


@kind
def checksums(folder: Path, chance: random.Random) -> None:
    from gipo.models.openvla_oft import published
    from gipo.runs.spec import OpenVLASpec

    model = OpenVLASpec(repository="somebody/model", revision="0" * 40)
    directory = model.directory(folder)
    directory.mkdir(parents=True)
    (directory / "config.json").write_bytes(b"{}")
    content = b"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a  config.json\n"
    (directory / "SHA256SUMS").write_bytes(damaged(content, chance))
    published.check(folder, model)


@kind
def specification(folder: Path, chance: random.Random) -> None:
    from gipo.runs.directory import RunDirectory

    spec = factories.make_spec("door-open-v3", "stale", "gipo-1-1", 0).model_dump_json().encode()
    directory = RunDirectory(folder)
    directory.spec.write_bytes(damaged_json(spec, chance))
    _ = directory.read_spec().run_id


_CACHE: dict[str, Path] = {}


def tiny() -> Path:
    """The folder of a tiny model, which is made once."""
    import tempfile

    from gipo.models.openvla_oft.tiny import write_tiny

    if "tiny" not in _CACHE:
        _CACHE["tiny"] = Path(tempfile.mkdtemp(prefix="gipo-fuzz-tiny-"))
        write_tiny(_CACHE["tiny"], 0)
    return _CACHE["tiny"]


def forget() -> None:
    """Remove what was made once."""
    for folder in _CACHE.values():
        shutil.rmtree(folder)
    _CACHE.clear()


def _model(folder: Path, files: dict[str, bytes]) -> None:
    """The tiny model as links, but for some files."""
    for path in tiny().iterdir():
        if path.name not in files:
            (folder / path.name).symlink_to(path)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _table() -> bytes:
    import tempfile

    from gipo.tables import RUN_METRICS, write_table

    if "table" not in _CACHE:
        _CACHE["table"] = Path(tempfile.mkdtemp(prefix="gipo-fuzz-table-"))
        spec = factories.make_spec("door-open-v3", "stale", "gipo-1-1", 0)
        frame = factories.metrics(spec, np.random.default_rng(0))
        write_table(_CACHE["table"] / "metrics.parquet", frame, RUN_METRICS)
    return (_CACHE["table"] / "metrics.parquet").read_bytes()


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in _FILES.items():
            file.writestr(f"x/{name}", data)
    return content.getvalue()


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for name, data in _FILES.items():
            member = tarfile.TarInfo(f"x/{name}")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return content.getvalue()
