"""The image pipeline beyond the recorded frames, which `test_openvla_parity` compares."""

import numpy as np
import pytest
import torch

from gipo.models.openvla_oft import images
from gipo.models.openvla_oft.vision import pixel_values


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_plain_image_stays_plain(level: int):
    plain = np.full((256, 256, 3), level, dtype=np.uint8)
    resized = images.resize(plain)
    assert resized.shape == (224, 224, 3)
    assert (resized == level).all()
    assert (images.center_crop(resized) == int(np.float32(level / 255) * np.float32(255.5))).all()


def test_the_input_is_left_alone_and_the_result_is_compact(frame: np.ndarray):
    before = frame.copy()
    found = images.preprocess(frame)
    assert np.array_equal(frame, before)
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((224, 224, 3), np.uint8, True)


def test_turning_twice_gives_the_frame(frame: np.ndarray):
    assert np.array_equal(images.rotate(images.rotate(frame)), frame)
    assert np.array_equal(images.rotate(frame)[0, 0], frame[-1, -1])


def test_rows_and_columns_are_treated_alike(frame: np.ndarray):
    turned = frame.swapaxes(0, 1)
    across = images.lanczos(np.ascontiguousarray(turned)).swapaxes(0, 1)
    assert images.lanczos(frame) == pytest.approx(across, abs=1e-3)
    small = np.ascontiguousarray(frame[:224, :224])
    crop = images.center_crop(np.ascontiguousarray(small.swapaxes(0, 1))).swapaxes(0, 1)
    assert np.abs(crop.astype(int) - images.center_crop(small)).max() <= 1


def test_the_crop_keeps_the_middle():
    ramp = np.broadcast_to(np.arange(224, dtype=np.uint8)[:, None, None], (224, 224, 3))
    cropped = images.center_crop(np.ascontiguousarray(ramp))[:, 0, 0]
    side = np.sqrt(0.9) * 223
    assert cropped == pytest.approx(111.5 + np.linspace(-side / 2, side / 2, 224), abs=1)


def test_pixel_values_are_the_two_normalisations_of_each_image():
    white = torch.full((2, 1, 224, 224, 3), 255, dtype=torch.uint8)
    both = torch.cat([white, torch.zeros_like(white)], dim=1)
    found = pixel_values(both)
    assert found.shape == (2, 12, 224, 224)
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225, 1, 1, 1]
    expected += [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225, -1, -1, -1]
    assert found[1, :, 100, 100].tolist() == pytest.approx(expected, abs=1e-5)
    assert pixel_values(both, torch.bfloat16).dtype == torch.bfloat16
