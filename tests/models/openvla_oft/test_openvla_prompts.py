"""Prompts with the tiny tokenizer and, where its vocabulary can be had, with Llama-2's."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from gipo.errors import GipoError
from gipo.models.openvla_oft.prompts import batch_prompts, prompt, prompt_ids, read_tokenizer
from llama_vocabulary import UnavailableError, llama_tokenizer


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Llama-2's tokenizer, read from a checkpoint directory."""
    directory = tmp_path_factory.mktemp("llama")
    try:
        llama_tokenizer().save(str(directory / "tokenizer.json"))
    except UnavailableError as error:
        pytest.skip(f"the Llama-2 vocabulary cannot be had: {error}")
    return read_tokenizer(directory)


def test_the_prompts_of_all_tasks_tokenise_as_the_authors_do(golden: Path, llama: Tokenizer):
    prompts = json.loads((golden / "golden_prompts.json").read_text())["prompts"]
    assert len(prompts) == 40
    for entry in prompts:
        assert prompt(entry["task"]) == entry["prompt"]
        assert prompt_ids(llama, entry["task"]) == [*entry["input_ids"], 29871]


def test_the_tiny_tokenizer_takes_any_task_and_its_ids_are_no_actions(tiny: Path):
    tokenizer = read_tokenizer(tiny)
    ids = prompt_ids(tokenizer, "Öffne 抽屉")
    assert (ids[0], ids[-1]) == (1, 29871)
    assert max(ids[1:-1]) < 300
    assert tokenizer.decode(ids[1:-1]).strip() == prompt("öffne 抽屉")


def test_prompts_are_padded_on_the_right():
    ids, mask = batch_prompts([[1, 5, 29871], [1, 29871]])
    assert ids.tolist() == [[1, 5, 29871], [1, 29871, 32000]]
    assert mask is not None
    assert mask.tolist() == [[True] * 3, [True, True, False]]
    assert ids.dtype == torch.int64
    assert batch_prompts([[1, 29871]])[1] is None


def test_a_missing_or_corrupt_tokenizer_is_named(tmp_path: Path):
    with pytest.raises(GipoError, match=r"cannot read .*tokenizer\.json"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GipoError, match=r"tokenizer\.json is corrupt"):
        read_tokenizer(tmp_path)
