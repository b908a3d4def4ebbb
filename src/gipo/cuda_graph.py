"""CUDA graphs: many small kernels launched as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")


class Step(Generic[Result]):
    """A function without arguments that works in place on tensors which stay where they are.

    On a GPU its first calls run as they are, on the stream that the capture will use; then it is captured once, and
    every call from there on replays all its kernels by one launch, into the same result tensors. Host code in it
    therefore has no effect on later calls, and nothing in it may wait for the device. On a CPU it is simply called.

    Args:
        function: the work; its result may be read until the next call.
        device: where its tensors live.
        captured: false where the work is not the same at every call, which then runs as it is.
    """

    PLAIN_CALLS = 3
    """Calls before the capture, as PyTorch recommends: libraries and the optimiser allocate their state in them."""

    def __init__(self, function: Callable[[], Result], device: torch.device, captured: bool = True) -> None:
        self.function, self.device = function, device
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device) if captured and device.type == "cuda" else None

    def __call__(self) -> Result:
        """Do the work once."""
        if self.stream is None:
            return self.function()
        self.calls += 1
        if self.calls <= self.PLAIN_CALLS:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self.stream):
                result = self.function()
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
            return result
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.result = self.function()
        self.graph.replay()
        return self.result
