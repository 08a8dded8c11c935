"""What to time: jobs, the groups of them that are timed together, and whether a machine can hold them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from costmodel.describe.program import Program
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure.host import cores
from costmodel.profiles.records import Clock, Settings, Subject

TORCH_BYTES = 400_000_000  # that a process holds for torch alone


class JobFailed(MeasuringFailed):
    """As `MeasuringFailed`, with the job that is to blame."""

    def __init__(self, job: "Job", message: str) -> None:
        super().__init__(f"{job.subject.title}, {job.how.title}: {message}")
        self.job = job


@dataclass(frozen=True)
class Job:
    """A subject to time, and its settings."""

    subject: Subject
    how: Settings
    program: Program = field(compare=False, repr=False)

    @property
    def clock(self) -> Clock:
        return "cuda-events" if self.how.device == "cuda" else "wall"

    @property
    def key(self) -> tuple[Subject, Settings, Clock]:
        return self.subject, self.how, self.clock

    @property
    def memory(self) -> int:
        """Bytes that its process needs at least."""
        per_item = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[self.how.dtype or "float32"]
        window = (self.how.frames - 1) * sum(int(value.map.bytes) for value in self.program.inputs)
        return TORCH_BYTES + (self.program.memory + window) * per_item // 4 * self.how.batch


def groups(jobs: Iterable[Job], memory: int) -> list[list[Job]]:
    """Jobs that differ in their cell alone are interleaved, where bytes of memory allow."""
    together: dict[tuple[Subject, Settings], list[Job]] = {}
    for job in jobs:
        together.setdefault((job.subject.standard, job.how), []).append(job)
    result = []
    for group in together.values():
        fit = sum(job.memory for job in group) <= 0.8 * memory
        result += [group] if fit else [[job] for job in group]
    return result


def check_possible(jobs: Iterable[Job], memory: int) -> None:
    """Refuse before anything starts what bytes of memory cannot hold, or threads that are not there."""
    for job in jobs:
        if job.memory > memory:
            raise InvalidInput(
                f"{job.subject.title} needs at least {job.memory / 1e9:,.1f} GB at these sizes; "
                f"this {'machine' if job.how.device == 'cpu' else 'GPU'} has {memory / 1e9:,.1f} GB"
            )
        if job.how.threads is not None and job.how.threads > len(cores()):
            raise InvalidInput(f"{job.how.threads} threads: this process may use {len(cores())} cores")
