"""World models on frames: branches, errors with closed forms, and a small model in a world whose law is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d, cosine_similarity

from gipo.errors import GipoError
from gipo.imagination.convolutional import Clips, ConvolutionalModel
from gipo.imagination.frames import Foretold, RandomFeatures, imagine, psnr

SIDE, CHUNK, D = 16, 2, 1


class Known:
    """The next frame is the sum of the two before it and the chunk; its corner is the reward, a tenth the success."""

    context = 2

    def predict(self, frames, actions):
        following = frames.float().sum(1) + actions.sum((1, 2))[:, None, None, None]
        corner = following[:, 0, 0, 0]
        return Foretold(following.to(torch.uint8), corner, corner / 10)


def test_a_branch_goes_on_from_its_own_frames_with_the_policys_chunks():
    begin = torch.tensor([[1, 1], [1, 2]], dtype=torch.uint8)[..., None, None, None].expand(-1, -1, 3, SIDE, SIDE)
    seen = []

    def policy(frames):
        seen.append(frames[:, :, 0, 0, 0].tolist())
        return torch.full((2, CHUNK, D), 0.5)

    branch = imagine(Known(), policy, begin, steps=3)
    assert branch.rewards.tolist() == [[3, 5, 9], [4, 7, 12]]
    assert torch.equal(branch.frames[..., 2, 7, 3].float(), branch.rewards)
    assert torch.allclose(branch.successes, branch.rewards / 10)
    assert seen == [[[1, 1], [1, 2]], [[1, 3], [2, 4]], [[3, 5], [4, 7]]]


def test_a_model_is_shown_as_many_frames_as_it_takes():
    with pytest.raises(GipoError, match="takes 2 frames, got 3"):
        imagine(Known(), lambda _: torch.zeros(1, CHUNK, D), torch.zeros(1, 3, 3, SIDE, SIDE, dtype=torch.uint8), 1)


def test_what_is_no_number_is_refused_by_its_step():
    policy = lambda frames: torch.full((1, CHUNK, D), np.nan if frames.any() else 0.5)  # noqa: E731
    with pytest.raises(GipoError, match="NaN or infinity in step 2"):
        imagine(Known(), policy, torch.zeros(1, 2, 3, SIDE, SIDE, dtype=torch.uint8), 3)


@given(st.integers(0, 255), st.integers(0, 255))
def test_psnr_of_a_constant_difference(one, other):
    frames = [torch.full((2, 3, SIDE, SIDE), value, dtype=torch.uint8) for value in (one, other)]
    expected = 20 * np.log10(255 / abs(one - other)) if one != other else np.inf
    assert psnr(*frames).tolist() == pytest.approx([expected] * 2)


def test_the_distance_of_features_by_lpips_formula():
    frames = torch.randint(256, (2, 4, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    one, other = frames
    features = RandomFeatures()
    found = features.distance(one, other)
    assert torch.equal(found, features.distance(other, one))
    assert torch.equal(features.distance(one, one), torch.zeros(4))
    assert torch.allclose(
        features.distance(one.reshape(2, 2, 3, SIDE, SIDE), other[None, :1]).reshape(4)[:1], found[:1]
    )
    expected, layers = 0.0, [one[0].double() / 127.5 - 1, other[0].double() / 127.5 - 1]
    for weight in features._weights:
        layers = [conv2d(layer[None], weight.double(), stride=2, padding=1)[0].clamp(min=0) for layer in layers]
        cosine = cosine_similarity(*layers, dim=0)
        lengths = [(layer.norm(dim=0) > 0).double() for layer in layers]
        expected += float((lengths[0] + lengths[1] - 2 * cosine).mean())
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)


def squares(count, seed):
    """A square goes as many pixels to the right as the chunk says; at the edge, not drawn, it has solved the task."""
    generator = np.random.default_rng(seed)
    place, step = generator.integers(SIDE - 4, size=(2, count))
    step %= 5
    after = place + step
    frames = np.zeros((2, count, 3, SIDE, SIDE), np.uint8)
    for i in range(count):
        frames[0, i, :, 6:10, place[i] : place[i] + 4] = 255
        frames[1, i, :, 6:10, after[i] : after[i] + 4] = 255
    solved = torch.from_numpy(after >= SIDE - 4)
    before, following = torch.from_numpy(frames)
    return Clips(
        frames=before[:, None],
        actions=torch.from_numpy(step / (4 * CHUNK)).float()[:, None, None].expand(-1, CHUNK, D),
        successors=torch.where(solved[:, None, None, None], before, following),
        drawn=~solved,
        rewards=solved.float(),
        successes=solved.float(),
    )


@pytest.fixture(scope="module")
def fitted():
    model = ConvolutionalModel(context=1, action_size=CHUNK * D, seed=0, width=8)
    model.fit(squares(2000, 0), steps=300)
    return model


def test_a_small_model_learns_how_a_square_moves_and_when_it_arrives(fitted):
    clips = squares(200, 1)
    foretold = fitted.predict(clips.frames, clips.actions)
    drawn = clips.drawn
    error, still = (
        (frames[drawn].float() - clips.successors[drawn].float()).square().mean()
        for frames in (foretold.frames, clips.frames[:, -1])
    )
    assert error < 0.25 * still
    assert ((foretold.successes > 0.5) == clips.successes.bool()).float().mean() > 0.95
    assert (foretold.rewards - clips.rewards).abs().mean() < 0.15


def test_the_same_seed_gives_the_same_model_and_a_state_goes_on():
    clips, models = squares(64, 2), [ConvolutionalModel(1, CHUNK * D, seed=3, width=8) for _ in range(3)]
    for model in models[:2]:
        model.fit(clips, steps=3)
    models[2].load_state(models[0].state())
    models[1].fit(clips, steps=2)
    models[2].fit(clips, steps=2)
    ahead, restored = (model.network.state_dict() for model in models[1:])
    assert all(torch.equal(ahead[name], restored[name]) for name in ahead)


def test_frames_that_were_not_drawn_teach_nothing(fitted):
    clips = squares(64, 4)
    other = clips.successors.clone()
    other[~clips.drawn] = 99
    assert (~clips.drawn).any()
    assert fitted.losses(clips)["frame"] == fitted.losses(Clips(**(vars(clips) | {"successors": other})))["frame"]


def test_what_cannot_be_learned_from_is_refused():
    model, clips = ConvolutionalModel(1, CHUNK * D, seed=0, width=8), squares(8, 0)
    with pytest.raises(GipoError, match="no transition to learn from"):
        model.fit(clips.take(torch.tensor([], dtype=torch.int64)), steps=1)
    with pytest.raises(GipoError, match="loss is nan in step 1"):
        model.fit(Clips(**(vars(clips) | {"rewards": clips.rewards * np.nan})), steps=1)
    with pytest.raises(GipoError, match="multiples of 8"):
        model.predict(clips.frames[..., :-1], clips.actions)
