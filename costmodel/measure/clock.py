"""Wall-clock timing of described networks, in one process.

Subjects take turns (A B C, A B C, ...), so that drift of the machine hits all of them alike.
"""

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from costmodel.describe.program import Program
from costmodel.measure.module import build

Step = Callable[[], object]


def rounds(
    subjects: Mapping[str, Step],
    samples: dict[str, list[float]],
    *,
    count: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    tick: Callable[[], object] = lambda: None,
) -> None:
    """Time every subject once per round, in seconds, into ``samples``; ``tick`` is called after each call.

    ``samples`` is filled as the times come, so that an interrupted run keeps what it has.
    """
    for turn in range(-warmup, count):
        for name, step in subjects.items():
            start = clock()
            step()
            seconds = clock() - start
            if turn >= 0:
                samples.setdefault(name, []).append(seconds)
            tick()


def stream(program: Program) -> Step:
    """One more frame through a described network, its state carried along: float32, contiguous, eager, on the CPU."""
    module = build(program).eval()
    frame = torch.randn(1, *module.frame_shape)
    state = module.zeros(frame)

    def step() -> object:
        nonlocal state
        with torch.inference_mode():
            output, state = module(frame, state)
        return output

    return step


def cpu_name() -> str:
    """What the operating system calls the processor, with the threads that torch uses."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
