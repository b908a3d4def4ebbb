"""Checkpoints in their directories: what is fetched was published, and what is trained from was fetched."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from gipo.errors import GipoError
from gipo.models.openvla_oft import published
from gipo.runs.spec import OpenVLASpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = OpenVLASpec(repository="somebody/a-model", revision=COMMIT)
TINY = OpenVLASpec(repository="tiny-random", revision="seed-3")
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"words"}


class Hub:
    """Stands in for the Hugging Face hub, which tests cannot reach."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, []

    def snapshot_download(self, repo_id: str, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        self.asked.append((repo_id, revision))
        local_dir.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (local_dir / name).write_bytes(content)

    def model_info(self, repo_id: str, revision: str, files_metadata: bool) -> SimpleNamespace:
        def entry(name: str, content: bytes) -> SimpleNamespace:
            if name.endswith(".safetensors"):
                lfs = SimpleNamespace(sha256=hashlib.sha256(content).hexdigest())
                return SimpleNamespace(rfilename=name, lfs=lfs, blob_id="of the pointer")
            blob = hashlib.sha1(f"blob {len(content)}".encode() + b"\0" + content).hexdigest()
            return SimpleNamespace(rfilename=name, lfs=None, blob_id=blob)

        return SimpleNamespace(siblings=[entry(*file) for file in FILES.items()])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    one = Hub(dict(FILES))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", one.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: one)
    return one


def test_a_fetched_checkpoint_has_checksums_that_sha256sum_reads(hub: Hub, tmp_path: Path):
    published.fetch(tmp_path, MODEL)
    directory = tmp_path / "somebody" / "a-model" / COMMIT
    lines = (directory / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(FILES.items())]
    published.check(tmp_path, MODEL)
    assert hub.asked == [("somebody/a-model", COMMIT)]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_the_published_one_is_refused(name: str, hub: Hub, tmp_path: Path):
    hub.files[name] = b"something else"
    with pytest.raises(GipoError, match=rf"{name} has checksum [0-9a-f]+, the hub has [0-9a-f]+"):
        published.fetch(tmp_path, MODEL)
    with pytest.raises(GipoError, match="no pretrained model somebody/a-model"):
        published.check(tmp_path, MODEL)


def test_a_branch_is_refused_with_the_command_that_tells_its_commit(hub: Hub, tmp_path: Path):
    with pytest.raises(GipoError, match=r"a commit: git ls-remote https://huggingface\.co/somebody/a-model main$"):
        published.fetch(tmp_path, MODEL.model_copy(update={"revision": "main"}))
    assert hub.asked == []


def test_without_the_hub_the_message_says_what_to_copy_from_where(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def fail(**_: object) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    command = rf"`gipo pretrained somebody/a-model {COMMIT} {tmp_path}` and copy {tmp_path}/somebody/a-model/{COMMIT}"
    with pytest.raises(GipoError, match=rf"no route\. Where the hub can be reached, run {command}"):
        published.fetch(tmp_path, MODEL)


def test_a_missing_model_is_one_line_with_the_command(tmp_path: Path):
    with pytest.raises(GipoError, match=rf"^no pretrained model .* `gipo pretrained tiny-random seed-3 {tmp_path}`$"):
        published.check(tmp_path, TINY)


def test_a_changed_or_lost_file_is_noticed_before_training(tmp_path: Path):
    published.fetch(tmp_path, TINY)
    published.check(tmp_path, TINY)
    config = tmp_path / "tiny-random" / "seed-3" / "config.json"
    config.write_text("{}")
    with pytest.raises(GipoError, match=r"config\.json has SHA-256"):
        published.check(tmp_path, TINY)
    config.unlink()
    with pytest.raises(GipoError, match=r"config\.json is missing"):
        published.check(tmp_path, TINY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "has no checksum of config.json"),
        (lambda text: text + "0" * 64 + "  ../../../secret\n", "is no checksum of a model's file"),
        (lambda text: text + "0" * 64 + "  /etc/hostname\n", "is no checksum of a model's file"),
        (lambda text: text.replace("  config.json", " config.json"), "is no checksum of a model's file"),
        (
            lambda text: "".join(text.splitlines(True)[:1]),
            "dataset_statistics.json is none of the files",
        ),
    ],
)
def test_checksums_that_say_nothing_or_of_other_files_are_refused(
    tmp_path: Path, change: Callable[[str], str], words: str
):
    published.fetch(tmp_path, TINY)
    sums = tmp_path / "tiny-random" / "seed-3" / "SHA256SUMS"
    sums.write_text(change(sums.read_text()))
    with pytest.raises(GipoError) as error:
        published.check(tmp_path, TINY)
    assert words in str(error.value)


def test_the_tiny_model_follows_from_its_seed(tmp_path: Path):
    for root in (tmp_path / "a", tmp_path / "b"):
        published.fetch(root, TINY)
    published.fetch(tmp_path / "a", OpenVLASpec(repository="tiny-random", revision="seed-4"))
    a, b, other = (
        (tmp_path / where / "SHA256SUMS").read_text()
        for where in ("a/tiny-random/seed-3", "b/tiny-random/seed-3", "a/tiny-random/seed-4")
    )
    assert a == b != other
    with pytest.raises(GipoError, match="expected seed-<n>"):
        published.fetch(tmp_path, OpenVLASpec(repository="tiny-random", revision="main"))
