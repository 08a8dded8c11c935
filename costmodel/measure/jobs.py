"""Jobs to time, the groups of jobs that are timed together, and a check that a machine can hold the jobs."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure import probes
from costmodel.measure.host import cores, require_huge_pages
from costmodel.measure.workload import Workload
from costmodel.profiles.records import Clock, Settings, Subject

TORCH_BYTES = 400_000_000  # that torch alone takes in a process
PROBE_BYTES = TORCH_BYTES + probes.BYTES  # of the process of the probes, which is alive beside every group


class JobFailed(MeasuringFailed):
    """`MeasuringFailed` for one ``job``."""

    def __init__(self, job: "Job", message: str, code: int = 1) -> None:
        super().__init__(f"{job.subject.title}, {job.how.title}: {message}", code)
        self.job = job


@dataclass(frozen=True)
class Job:
    """A subject to time, its settings, and the work. ``base``: the subject that percentages refer to, if another one
    than `Subject.standard`."""

    subject: Subject
    how: Settings
    workload: Workload = field(compare=False, repr=False)
    base: Subject | None = field(default=None, compare=False, repr=False)

    @property
    def clock(self) -> Clock:
        return "cuda-events" if self.how.device == "cuda" else "wall"

    @property
    def key(self) -> tuple[Subject, Settings, Clock]:
        return self.subject, self.how, self.clock

    def against(self, base: Subject) -> "Job":
        """The same job with another base."""
        return replace(self, base=base)

    @property
    def standard(self) -> Subject:
        """The subject of 100 %."""
        return self.base or self.subject.standard

    @property
    def memory(self) -> int:
        """Bytes of memory that the process needs at least."""
        return TORCH_BYTES + self.workload.memory(self.how)


def groups(jobs: Iterable[Job], memory: int) -> list[list[Job]]:
    """Groups of jobs to interleave: jobs of the same base, where ``memory`` bytes hold all of them and the probes."""
    together: dict[tuple[Subject, Settings], list[Job]] = {}
    for job in jobs:
        together.setdefault((job.standard, job.how), []).append(job)
    result = []
    for group in together.values():
        fit = PROBE_BYTES + sum(job.memory for job in group) <= 0.8 * memory
        result += [group] if fit else [[job] for job in group]
    return result


def check_possible(jobs: Iterable[Job], memory: int) -> None:
    """Raise `InvalidInput` for jobs that need more than ``memory`` bytes beside the probes, more threads than there are
    cores, or huge pages where there are none."""
    for job in jobs:
        if job.how.pages:
            require_huge_pages()
        if job.memory + PROBE_BYTES > memory:
            raise InvalidInput(
                f"{job.subject.title}, with the probes, needs at least {(job.memory + PROBE_BYTES) / 1e9:,.1f} GB at "
                f"these sizes; "
                f"this {'machine' if job.how.device == 'cpu' else 'GPU'} has {memory / 1e9:,.1f} GB"
            )
        check_threads(job.how)


def check_threads(how: Settings) -> None:
    """Raise `InvalidInput` for more threads than there are cores."""
    if how.threads is not None and how.threads > len(cores()):
        raise InvalidInput(f"threads is {how.threads}, but this process may use {len(cores())} cores")
