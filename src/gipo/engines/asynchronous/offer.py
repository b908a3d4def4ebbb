"""The newest policy of a learner, for whoever asks; it leaves the device while the learner makes its next update."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gipo.engines.asynchronous.peers import NONE, Version, Weights


class Offer:
    """Weights of the newest version.

    They are copied on the device, which takes part of a millisecond, and from there to main memory by a thread and a
    CUDA stream of its own.

    Args:
        device: where the weights are.
    """

    def __init__(self, device: torch.device) -> None:
        self.wanted = True
        """Somebody waits for newer weights than those that were published."""
        self._published = NONE
        self._offered: Weights = (NONE, {})
        self._changed = threading.Condition()
        self._thread = ThreadPoolExecutor(1)
        self._copy: Future[None] | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def publish(self, version: Version, weights: Mapping[str, Tensor]) -> None:
        """Offer weights as they are now; they may change at once.

        Raises:
            RuntimeError: those of the version before could not be copied.
        """
        if self._copy is not None:
            self._copy.result()
        copies = {name: tensor.detach().clone() for name, tensor in weights.items()}
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with self._changed:
            self._published, self.wanted = version, False
        self._copy = self._thread.submit(self._fetch, version, copies)

    def newer(self, than: Version) -> Weights:
        """The weights, as soon as they are newer than ``than``; called beside `publish`."""
        with self._changed:
            self.wanted = self.wanted or self._published <= than
            self._changed.wait_for(lambda: self._offered[0] > than)
            return self._offered

    def _fetch(self, version: Version, copies: Mapping[str, Tensor]) -> None:
        try:
            with torch.cuda.stream(self._stream):
                arrays = {name: _to_main_memory(tensor) for name, tensor in copies.items()}
            if self._stream is not None:
                self._stream.synchronize()
        except BaseException:
            with self._changed:
                self._published, self.wanted = self._offered[0], True  # so that `publish` is called again, and tells
            raise
        with self._changed:
            self._offered = version, arrays
            self._changed.notify_all()


def _to_main_memory(tensor: Tensor) -> npt.NDArray[np.float32]:
    """Without waiting for it; page-locked, or a copy would stop the device."""
    if not tensor.is_cuda:
        return tensor.numpy()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True).numpy()
