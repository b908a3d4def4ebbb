"""Who attends to whom, padding, and the shape of what comes out."""

import pytest
import torch
from torch import Tensor

from gipo.models.openvla_oft.model import OpenVLAOFT, Sequence, read
from gipo.models.openvla_oft.pretrained import load
from gipo.models.openvla_oft.prompts import batch_prompts
from gipo.models.openvla_oft.vision import pixel_values

SHORT, LONG = [1, 40, 50, 29871], [1, 60, 70, 80, 90, 100, 29871]


@pytest.fixture(scope="module")
def model(tiny) -> OpenVLAOFT:
    return load(tiny, proprio=True, dtype=torch.float32)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return pixel_values(torch.randint(0, 256, (2, 1, 224, 224, 3), dtype=torch.uint8, generator=generator))


def influence(model: OpenVLAOFT, mask: Tensor | None) -> Tensor:
    """Whether each position [query, key] of a sequence of 6 has any gradient from each other one."""
    embeddings = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    hidden = model.transform(Sequence(embeddings, mask, 0))
    rows = [torch.autograd.grad(hidden[0, i].sum(), embeddings, retain_graph=True)[0] for i in range(6)]
    return torch.stack(rows)[:, 0].abs().sum(-1) > 0


def test_without_padding_every_token_attends_to_every_token(model: OpenVLAOFT):
    assert influence(model, None).all()


def test_with_padding_every_token_attends_to_every_token_that_is_none(model: OpenVLAOFT):
    mask = torch.tensor([[True, True, True, True, False, False]])
    assert torch.equal(influence(model, mask)[:4], mask.expand(4, -1))


@torch.no_grad()
def test_padding_changes_nothing(model: OpenVLAOFT, pixels: Tensor):
    proprio = torch.tensor([[0.1] * 8, [-0.3] * 8])
    ids, mask = batch_prompts([SHORT, LONG])
    together = model(pixels, ids, mask, proprio)
    alone = [
        model(pixels[i : i + 1], torch.tensor([prompt]), None, proprio[i : i + 1])
        for i, prompt in enumerate((SHORT, LONG))
    ]
    assert together.shape == (2, 56, 64)
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_mask_of_ones_is_no_mask(model: OpenVLAOFT, pixels: Tensor):
    ids, mask = batch_prompts([LONG, LONG])
    assert mask is None
    with_mask = model(pixels, ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(with_mask, model(pixels, ids), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_slots_are_zero_and_the_stop_token_is_not(model: OpenVLAOFT, pixels: Tensor):
    ids, mask = batch_prompts([SHORT, LONG])
    sequence = model.embed(pixels, ids, mask)
    assert sequence.embeddings.shape == (2, 256 + len(LONG) + 57, 64)
    assert isinstance(sequence.first, Tensor)
    assert sequence.first.tolist() == [[256 + len(SHORT) - 1], [256 + len(LONG) - 1]]
    table = model.language_model.model.embed_tokens.weight
    around = read(sequence.embeddings, sequence.first, 58)
    assert torch.equal(around[:, 0], table[29871].expand(2, -1))
    assert not around[:, 1:57].any()
    assert torch.equal(around[:, 57], table[2].expand(2, -1))


@torch.no_grad()
def test_logits_of_actions_are_columns_of_those_of_the_vocabulary(model: OpenVLAOFT):
    hidden = torch.randn(2, 56, 64)
    actions, vocabulary = model.action_logits(hidden), model.vocabulary_logits(hidden)
    assert (actions.shape, vocabulary.shape) == ((2, 56, 256), (2, 56, 32064))
    torch.testing.assert_close(actions, vocabulary[..., 31744:32000], rtol=0, atol=1e-5)


def test_proprioception_needs_its_projector(tiny, pixels: Tensor):
    model = load(tiny, dtype=torch.float32)
    with pytest.raises(ValueError, match="without a projector"):
        model(pixels, torch.tensor([SHORT, SHORT]), None, torch.zeros(2, 8))
