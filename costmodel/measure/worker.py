"""The processes that time jobs, as the runner sees them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

from costmodel.errors import CodeFailed, InvalidInput, MeasuringFailed
from costmodel.measure.host import ENVIRONMENT, HUGE_PAGES, NOT_INHERITED, cores
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.probes import Times
from costmodel.measure.workload import Workload
from costmodel.profiles.records import Settings


class OutOfTime(Exception):
    """The budget ended during the preparation of a block."""


class Worker(Protocol):
    """A process that times one job."""

    def started(self, seconds: float | None) -> None:
        """Wait until the process has finished its imports. `OutOfTime` after ``seconds``."""

    def ready(self, seconds: float | None) -> dict[str, Any]:
        """Build the subject and warm up; returns fields of `Process`. `OutOfTime` after ``seconds``."""

    def turn(self) -> float:
        """One more sample, in seconds per call."""

    def finish(self) -> dict[str, Any]:
        """End the process; returns fields of `Process` about the timed calls."""

    def kill(self) -> None:
        """Kill the process."""


class ProbeWorker(Protocol):
    """A process that times the probes."""

    def started(self, seconds: float | None) -> None:
        """Wait until the process has finished its imports. `OutOfTime` after ``seconds``."""

    def ready(self, seconds: float | None) -> object:
        """Allocate the buffers and warm up. `OutOfTime` after ``seconds``."""

    def turn(self) -> Times:
        """The times of one more turn."""

    def kill(self) -> None:
        """Kill the process."""


class ProbeFailed(MeasuringFailed):
    """`MeasuringFailed` for the probes."""


class Child:
    """A fresh Python process with the pinned environment, on the CPUs of the settings ``how``; see
    `costmodel.measure.child`. ``work``: None for the probes; ``reference``: the file of the results of the
    reference."""

    program = "costmodel.measure.child"
    environment: ClassVar[Mapping[str, str]] = ENVIRONMENT

    def __init__(self, work: Workload | None, how: Settings, reference: Path | None = None) -> None:
        self.pipe, theirs = Pipe()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by kill)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        threads = how.threads or len(cores())
        environment["OMP_NUM_THREADS"] = str(threads)
        environment |= {**self.environment, **(HUGE_PAGES if how.pages else {})}
        cpus = tuple(cores()[-threads:]) if hasattr(os, "sched_setaffinity") else None
        with theirs, _pinned(cpus):
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.program, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                start_new_session=True,  # Ctrl-C goes to the runner, which then asks for the results so far
            )
        self.task: tuple[Any, ...] = (work, how, cpus, reference)

    def failure(self, message: str, code: int = 1) -> MeasuringFailed:
        """The exception for a process that cannot go on."""
        raise NotImplementedError

    def started(self, seconds: float | None) -> None:
        self._receive(seconds)

    def ready(self, seconds: float | None) -> dict[str, Any]:
        self._send(self.task)
        facts: dict[str, Any] = self._receive(seconds)
        return facts

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # and the compilers that the process may have started
        self.process.wait()
        self.pipe.close()
        self.log.close()

    def _send(self, message: Any) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            self._fail()

    def _receive(self, seconds: float | None = None) -> Any:
        try:
            if not self.pipe.poll(seconds):
                raise OutOfTime
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._fail()
        if isinstance(answer, InvalidInput):
            raise self.failure(str(answer), code=2 if isinstance(answer, CodeFailed) else 1)
        return answer

    def _fail(self) -> NoReturn:
        code = self.process.wait()
        self.log.seek(0)
        last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
        end = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        memory = "; it may have run out of memory" if code == -9 else ""
        message = f": {last[0]}" if last else ""
        raise self.failure(f"the process {end}{memory}{message}")


class ChildWorker(Child):
    """The process that times a job; with ``reference``, a file that `References` has made, the process compares its
    results first."""

    def __init__(self, job: Job, reference: Path | None = None) -> None:
        self.job = job
        super().__init__(job.workload, job.how, reference)

    def failure(self, message: str, code: int = 1) -> MeasuringFailed:
        return JobFailed(self.job, message, code)

    def turn(self) -> float:
        self._send("turn")
        return float(self._receive())

    def finish(self) -> dict[str, Any]:
        self._send("finish")
        answer = self._receive()
        while not isinstance(answer, dict):  # the sample of a turn that was interrupted
            answer = self._receive()
        self.process.wait()
        return answer


class ReferenceChild(Child):
    """The process that computes references, ``job``'s first; see `costmodel.measure.reference`. Its memory is not
    pinned."""

    program = "costmodel.measure.reference"
    environment: ClassVar[Mapping[str, str]] = {}

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(None, job.how)

    def compute(self, job: Job, file: Path, seconds: float | None) -> None:
        """Save the results of a job's reference. `OutOfTime` after ``seconds``."""
        self.job = job
        self._send((job.workload, job.how, file))
        self._receive(seconds)

    def failure(self, message: str, code: int = 1) -> MeasuringFailed:
        return JobFailed(self.job, message, code)


@dataclass(frozen=True)
class References:
    """A folder with the results of references, each computed once: all settings of a subject have the same one."""

    folder: Path

    def file(self, job: Job) -> Path:
        """The file of a job's reference."""
        return self.folder / f"{job.subject.digest}-{job.how.batch}-{job.how.frames}.pt"

    def compute(self, jobs: Sequence[Job], patience: Callable[[], float | None]) -> None:
        """Compute the references that are missing, one after another in a process of their own. ``patience``: seconds
        that are left. `JobFailed` for the first one that cannot be computed; `OutOfTime`."""
        missing = [job for job in jobs if not self.file(job).exists()]
        if not missing:
            return
        child = ReferenceChild(missing[0])
        try:
            child.started(patience())
            for job in missing:
                child.compute(job, self.file(job), patience())
        finally:
            child.kill()

    def start(self, job: Job, verify: bool) -> ChildWorker:
        """A process that times a job, and with ``verify`` compares its results first."""
        return ChildWorker(job, self.file(job) if verify else None)


class ProbeChild(Child):
    """The process of the probes, which runs as those of jobs with the settings ``how``."""

    def __init__(self, how: Settings) -> None:
        super().__init__(None, how)

    def failure(self, message: str, code: int = 1) -> MeasuringFailed:
        return ProbeFailed(message, code)

    def turn(self) -> Times:
        self._send("turn")
        times: Times = self._receive()
        return times


@contextmanager
def _pinned(cpus: Sequence[int] | None) -> Iterator[None]:
    """Restrict processes started inside the block to these CPUs."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
