"""From a simulator frame to the pixels of the two towers, to the bit as TensorFlow does it for OpenVLA-OFT.

The models were trained on what TensorFlow made of the frames, so resizing, cropping and the decoder follow its
arithmetic in float32: order of the sums, no rounding in between, and the fast integer transform of libjpeg-turbo.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.sparse
import simplejpeg
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]

SIZE = 224
"""Side of an image in pixels, as both towers take it."""
CROP_AREA = 0.9
"""Share of the image that the evaluation's centre crop keeps; training crops that share at random places."""


def preprocess(frame: Pixels) -> Pixels:
    """A camera's frame as the policy takes it: turned, through JPEG, resized, cropped.

    Args:
        frame: as the simulator renders it, upside down and mirrored, uint8 [256, 256, 3].

    Returns:
        uint8 [224, 224, 3].
    """
    return center_crop(resize(decode_jpeg(encode_jpeg(rotate(frame)))))


def rotate(frame: Pixels) -> Pixels:
    """Turn by 180 degrees."""
    return np.ascontiguousarray(frame[::-1, ::-1])


def encode_jpeg(image: Pixels) -> bytes:
    """JPEG of quality 95 with 4:2:0 chroma, to the byte as TensorFlow writes it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=2, dpi=(300, 300))
    return file.getvalue()


def decode_jpeg(data: bytes) -> Pixels:
    """Pixels of a JPEG: fast integer transform, smooth chroma. Other decoders differ by up to 18 grey levels."""
    image: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=True, fastupsample=False)
    return image


def resize(image: Pixels) -> Pixels:
    """Shrink [H, W, 3] to [224, 224, 3] by Lanczos-3 with antialiasing, rounded half to even."""
    exact = lanczos(image)
    return np.clip(np.rint(exact, out=exact), 0, 255, out=exact).astype(np.uint8)


def lanczos(image: Pixels) -> Singles:
    """`resize` before it rounds, float32: rows first, then columns."""
    height, width, channels = image.shape
    rows = _weights(height) @ image.reshape(height, -1).astype(np.float32)
    columns = _weights(width, channels) @ np.ascontiguousarray(rows.T)
    return np.ascontiguousarray(columns.T).reshape(SIZE, SIZE, channels)


def center_crop(image: Pixels) -> Pixels:
    """Cut out the middle 90 % of the area of [224, 224, 3] and enlarge it again, bilinearly, columns first.

    Rounding is TensorFlow's conversion of floats in [0, 1], ``floor(255.5 v)``.
    """
    scaled = image.reshape(SIZE, -1).T * np.float32(1 / 255)
    columns = _between(np.ascontiguousarray(scaled), image.shape[2])
    cropped = _between(np.ascontiguousarray(columns.T))
    cropped *= np.float32(255.5)
    return cropped.astype(np.uint8).reshape(image.shape)


def _between(samples: Singles, channels: int = 1) -> Singles:
    """Linear interpolation at the places of `_crop` along the first axis, whose samples have `channels` numbers."""
    low, high, weight = _crop(channels)
    start, between = samples[low], samples[high]
    between -= start
    between *= weight[:, None]
    between += start
    return between


@cache
def _weights(size: int, channels: int = 1) -> scipy.sparse.csr_array:
    """Lanczos-3 from `size` samples of `channels` numbers to 224; a product with it sums in the samples' order."""
    one = np.float32(1)
    scale = one / np.float32(SIZE / size)
    stretch = max(scale, one)
    radius = np.float32(3) * stretch
    centre = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * scale
    first = np.maximum(np.ceil(centre - radius - np.float32(0.5)), 0).astype(int)
    last = np.minimum(np.floor(centre + radius - np.float32(0.5)), size - 1).astype(int)
    values, columns, starts = [], [], [0]
    for i in range(SIZE):
        taps = np.arange(first[i], last[i] + 1)
        kernel = _lanczos3(np.abs((taps.astype(np.float32) + np.float32(0.5) - centre[i]) * (one / stretch)))
        values.append(kernel * (one / np.add.accumulate(kernel)[-1]))
        columns.append(taps)
        starts.append(starts[-1] + len(taps))
    weights = scipy.sparse.csr_array((np.concatenate(values), np.concatenate(columns), starts), shape=(SIZE, size))
    return scipy.sparse.kron(weights, scipy.sparse.eye_array(channels, dtype=np.float32), format="csr")


def _lanczos3(x: Singles) -> Singles:
    """The kernel at x >= 0. Sines are rounded from float64: the C library's float32 ones vary with the machine."""
    pi, three = np.float32(np.pi), np.float32(3)
    safe = np.maximum(x, np.float32(1e-3))
    kernel = three * _sine(pi * safe) * _sine(pi * safe / three) / (pi * pi * safe * safe)
    kernel[x <= np.float32(1e-3)] = 1
    kernel[x > three] = 0
    return kernel


def _sine(x: Singles) -> Singles:
    return np.sin(x.astype(np.float64)).astype(np.float32)


@cache
def _crop(channels: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Singles]:
    """For each number in 224 pixels of `channels`: where the two lie that surround its place, weight of the second."""
    side = np.sqrt(np.float32(CROP_AREA))
    start = (np.float32(1) - side) / np.float32(2)
    last = np.float32(SIZE - 1)
    step = (start + side - start) * last / last
    place = start * last + np.arange(SIZE, dtype=np.float32) * step
    low, high = (edge(place).astype(np.intp)[:, None] * channels + np.arange(channels) for edge in (np.floor, np.ceil))
    return low.ravel(), high.ravel(), np.repeat(place - np.floor(place), channels)
