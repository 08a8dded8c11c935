"""The fresh process that times one subject, or the probes: commands arrive over a pipe, and the process ends when the
pipe closes.

The runner starts ``python -m costmodel.measure.child FD`` with the environment of `host.ENVIRONMENT`.
"""

import ctypes
import math
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from costmodel.counting.load import running_user_code
from costmodel.counting.reasons import place, placed_reason
from costmodel.errors import CodeFailed, InvalidInput
from costmodel.measure.clock import Clock, CudaClock, WallClock, settle
from costmodel.measure.host import gpu_state, huge_page_share, mean_mhz, stolen_seconds
from costmodel.measure.probes import Prober
from costmodel.measure.timed import Timed, deviation, first_results, flush_buffer, timed

# Short samples measure the timer and the scheduler: calls are repeated until a sample lasts this long.
SAMPLE_SECONDS = 0.1
# A call that takes this long refills the caches by the way: the others start with a call that is not timed.
REFILL_SECONDS = 0.3
# Threads of OpenMP wait for more work before they sleep, about 10 ms in a loop: those of the process that had the last
# turn would take CPUs from this one.
REST_SECONDS = 0.02


def undisturbed(subject: Timed, clock: Clock, calls: int) -> tuple[dict[str, Any], Callable[[], Any]]:
    """No further facts, and a turn: the mean seconds of so many calls."""
    return {}, lambda: clock(subject.step, calls)


def serve(pipe: Connection, turns: Callable[..., tuple[dict[str, Any], Callable[[], Any]]] = undisturbed) -> None:
    """Serve the runner: prepare a subject, compare its results with the reference where the runner names a file, and
    time its turns; or the turns of the probes, which have no workload. ``turns``: makes the turn of a subject, as
    `costmodel.measure.marks` does."""
    pipe.send("here")
    workload, how, cpus, reference, *more = pipe.recv()
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    if workload is None:
        serve_probes(pipe, how.device)
        return
    subject = timed(workload, how)
    subject.place()
    compared, before_comparing = ({}, 0) if reference is None else compare(subject, reference)
    on_gpu = how.device == "cuda"
    buffer = flush_buffer(how.device) if how.flush else None
    clock: Clock = CudaClock(torch.cuda, buffer.zero_ if buffer is not None else None) if on_gpu else WallClock()
    warmup = settle(clock, subject.step)
    once = min(warmup[-3:])
    calls = max(1, math.ceil(SAMPLE_SECONDS / once))
    warm = tuple(round(t, 9) for t in warmup)
    facts: dict[str, Any] = compared | {"calls": calls, "warmup_seconds": warm, "affinity": cpus}
    if on_gpu:
        uuid = str(torch.cuda.get_device_properties(0).uuid)
        facts["gpu_before"] = gpu_state(uuid=uuid)
    told, turn = turns(subject, clock, calls, *more)
    pipe.send(facts | told)

    cpus, cold = cpus or (), True
    before, used = stolen_seconds(cpus), Used()
    for _ in _turns(pipe, how.device):
        if cold or once < REFILL_SECONDS:
            subject.step()  # the caches hold other subjects' data; one call refills the caches
            cold = False
        with used:
            answer = turn()
        pipe.send(answer)
    after = stolen_seconds(cpus)
    result: dict[str, Any] = {
        "peak_memory": max(before_comparing, peak()),
        "minor_faults": used.minor_faults,
        "system_seconds": round(used.system_seconds, 6),
        "switches": used.switches,
        "steal_seconds": None if before is None or after is None else round(max(0.0, after - before), 6),
        "mhz": mean_mhz(cpus),
        "huge_pages": huge_page_share(),
    }
    if on_gpu:
        spare = 0 if buffer is None else buffer.nbytes  # not the subject's memory
        result |= {"gpu_after": gpu_state(uuid=uuid), "peak_gpu_memory": torch.cuda.max_memory_allocated() - spare}
    pipe.send(result)


def compare(subject: Timed, reference: Path) -> tuple[dict[str, Any], int]:
    """Compare the results of a subject with those in a file, before anything is timed. Returns the deviation as a field
    of `Process`, and the peak memory until then in bytes: the peak begins anew, for it is that of the subject."""
    results = first_results(subject)
    before = peak()
    known = torch.load(reference, mmap=True)  # in no memory that the subject would get later
    error = deviation(results, known, subject.how)
    del known
    with suppress(OSError):  # no Linux
        Path("/proc/self/clear_refs").write_text("5")
    return {"deviation": None if error is None else float(f"{error:.2g}")}, before


class Used:
    """What this process used while the context was entered, each time added."""

    minor_faults, switches, system_seconds = 0, 0, 0.0

    def __enter__(self) -> None:
        self.before = resource.getrusage(resource.RUSAGE_SELF)

    def __exit__(self, *_: object) -> None:
        after = resource.getrusage(resource.RUSAGE_SELF)
        self.minor_faults += after.ru_minflt - self.before.ru_minflt
        self.switches += after.ru_nivcsw - self.before.ru_nivcsw
        self.system_seconds += after.ru_stime - self.before.ru_stime


def serve_probes(pipe: Connection, device: str) -> None:
    """Warm the probes up, and time their turns."""
    probes = Prober(device, CudaClock(torch.cuda, None) if device == "cuda" else WallClock())
    pipe.send({})
    for _ in _turns(pipe, device):
        pipe.send(probes.turn())


def _turns(pipe: Connection, device: str) -> Iterator[None]:
    """The turns that the runner asks for."""
    while pipe.recv() == "turn":
        if device == "cpu":
            time.sleep(REST_SECONDS)
        yield


def peak() -> int:
    """Peak memory of this process, in bytes."""
    status = Path("/proc/self/status")
    match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if match:
        return 1024 * int(match[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def main(serve: Callable[[Connection], None] = serve) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the runner, also while computing
    pipe = Connection(int(sys.argv[1]))
    try:
        with running_user_code():
            serve(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the runner is gone
    except InvalidInput as error:
        pipe.send(error if error.__cause__ is None else CodeFailed(str(error)))
    except (Exception, SystemExit) as error:  # whatever ends the work, the runner is told
        pipe.send((CodeFailed if place(error) else InvalidInput)(placed_reason(error)))
        raise

    sys.stdout.flush()
    os._exit(0)  # torch is slow to shut down


if __name__ == "__main__":
    main()
