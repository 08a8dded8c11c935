"""The file format of ``profiles/``: one machine, subjects and settings of its runs, and every raw sample.

The files are JSON with one run per line, so that a new measurement is a one-line diff. Nothing derived is stored. Files
are validated when they are read, replaced as a whole when they are written, and locked while they grow.
"""

import hashlib
import json
import math
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic import PositiveInt as Count
from pydantic.dataclasses import dataclass

from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import Cell
from costmodel.describe.selection import Entry, approach
from costmodel.errors import InvalidInput
from costmodel.price.moment import PROBES, Moment
from costmodel.profiles import calls
from costmodel.work.call import Call

if TYPE_CHECKING:
    import pandas as pd

# Format 1: networks and cells. Grown compatibly by modules of the user's (`Subject.module`, `arguments`, `inputs`,
# `structure`), whose `size` is absent, by `Profile.layers`, `Profile.calibrations` and `Profile.data_sheet`: all older
# files load; an older costmodel refuses what is new by field.
FORMAT: Literal[1] = 1
Sides = tuple[int, int]
Side = tuple[Count, Count]
Seconds = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]  # one line, without control characters
Clock = Literal["wall", "cuda-events", "published"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __dir__(self) -> list[str]:
        """The names that completion offers: without those of pydantic."""
        return [name for name in super().__dir__() if name.startswith("_") or name not in dir(BaseModel)]


class Subject(_Data):
    """The thing that was timed: one frame of a network without its training heads, one step of a single cell, or one
    call of a module of the user's.

    Sizes are rows x columns: of the frame in pixels, or of the feature map. ``sites``: sites with another cell. A
    ``module`` is named as on the command line, with the JSON ``arguments`` of its factory and the ``inputs`` of the
    call in words; ``structure`` tells it from a later module of that name.
    """

    network: Text | None = None
    cell: Text | None = None
    sites: tuple[tuple[Text, Text], ...] = ()
    recurrence: Text = "convlstm"
    kernel: Side | None = None
    channels: Side | None = None
    classes: Count | None = None
    size: Side | None = None
    module: Text | None = None
    arguments: Text = ""
    inputs: tuple[Text, ...] = ()
    structure: Text | None = None

    @classmethod
    def of_network(cls, entry: Entry, kernel: Sides) -> "Subject":
        """The subject of a row of a table."""
        sites = tuple((site, cell.name) for site, cell in entry.sites.items())
        if entry.cell is None:
            return cls(network=entry.model, classes=entry.classes, size=entry.size)
        name, recurrence = entry.cell.name, entry.cell.recurrence.name
        return cls(
            network=entry.model,
            cell=name,
            sites=sites,
            recurrence=recurrence,
            kernel=kernel,
            classes=entry.classes,
            size=entry.size,
        )

    @classmethod
    def of_cell(cls, cell: Cell, *, kernel: Sides, channels: Sides, size: Sides) -> "Subject":
        """The subject of one step of a cell."""
        return cls(cell=cell.name, recurrence=cell.recurrence.name, kernel=kernel, channels=channels, size=size)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.module is not None:
            if others := sorted(self.model_fields_set - {"module", "arguments", "inputs", "structure"}):
                raise ValueError(f"a module has no {', no '.join(others)}")
            if self.structure is None or not self.inputs:
                raise ValueError("a module needs inputs and a structure")
            return self
        if self.arguments or self.inputs or self.structure is not None:
            raise ValueError("arguments, inputs and structure are of modules alone")
        if self.network is None and self.cell is None:
            raise ValueError("a subject needs a network, a cell or a module")
        if self.size is None:
            raise ValueError("a network or a cell needs a size")
        if (self.cell is None) != (self.kernel is None):
            raise ValueError("a cell needs a kernel, and a kernel needs a cell")
        if (self.network is None) != (self.channels is not None):
            raise ValueError("a single cell needs channels, and a network has none")
        if self.network is None and self.sites:
            raise ValueError("a single cell has no sites")
        if (self.network is None) != (self.classes is None):
            raise ValueError("a network needs classes, and a single cell has none")
        return self

    @property
    def name(self) -> str:
        """The name in tables: ``depth-LSTM-ICNet v6``, ``sep cell``, ``nets.py:small(width=8)``."""
        if self.module is not None:
            given = json.loads(self.arguments or "{}")
            options = ", ".join(f"{name}={json.dumps(value)}" for name, value in given.items())
            return f"{self.module}({options})" if options else self.module
        return approach(self.network, self.cell, self.recurrence, dict(self.sites))

    @property
    def title(self) -> str:
        """Name and sizes, and the classes where they differ from the published ones."""
        channels = self.channels and dict.fromkeys(self.channels)  # I = O is one number
        sizes = ["x".join(map(str, sides)) for sides in (self.kernel, channels, self.size) if sides]
        sizes += [", ".join(self.inputs)] if self.inputs else []
        usual = NETWORKS[self.network].classes if self.network in NETWORKS else 19
        classes = [f"{self.classes} classes"] if self.classes not in (None, usual) else []
        return " ".join([self.name, *sizes, *classes])

    @property
    def digest(self) -> str:
        """A short name for files, which no other subject has."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def is_later(self, other: "Subject") -> bool:
        """True for a module that has the name, the arguments and the inputs of ``other``, and another structure."""
        return self.structure != other.structure and self == other.model_copy(update={"structure": self.structure})

    @property
    def standard(self) -> "Subject":
        """The subject of 100 %: this subject with standard cells; of a variant its base network; else this subject."""
        if self.cell is not None:
            return self.model_copy(update={"cell": "standard", "sites": ()})
        network = NETWORKS.get(self.network or "")
        variant = network is not None and network.family and network.base
        return self.model_copy(update={"network": network.base}) if network and variant else self


def by_short_name(subjects: Iterable[Subject]) -> dict[str, Subject]:
    """The first subject of each network, cell and module, by its name alone; of a network with standard cells, if there
    is one."""
    found: dict[str, Subject] = {}
    for subject in sorted(subjects, key=lambda each: each.cell not in (None, "standard")):
        found.setdefault(subject.module or subject.network or subject.cell or "", subject)
    return found


class Settings(_Data):
    """The settings of a run. A field that a machine or a publication leaves open is None."""

    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "float64", "bfloat16", "float16"] | None = None
    memory_format: Literal["contiguous", "channels_last"] | None = None
    implementation: Literal["eager", "compiled"] | None = None
    threads: Count | None = None  # CPU threads of torch; the next three: CUDA alone
    tf32: bool | None = None
    cuda_graph: bool | None = None
    flush: bool | None = None  # of the L2 cache before every call
    pages: Literal["huge"] | None = None  # of the allocator, on a CPU; None: as the system gives them
    batch: Count = 1
    # 1: the state of a network is carried from call to call, a module gets the same inputs at every call. T > 1: every
    # output recomputes T frames, the state carried from the first, of zeros or of the inputs, to the last.
    frames: Count = 1

    @model_validator(mode="after")
    def _fits_the_device(self) -> Self:
        if self.device == "cpu" and (self.tf32, self.cuda_graph, self.flush) != (None, None, None):
            raise ValueError("tf32, cuda_graph and flush need device cuda")
        if self.device == "cuda" and (self.threads, self.pages) != (None, None):
            raise ValueError("threads and pages need device cpu")
        if len({self.dtype is None, self.memory_format is None, self.implementation is None}) > 1:
            raise ValueError("dtype, memory_format and implementation are all set or all left open")
        return self

    def unit_of(self, one: str) -> str:
        """The unit that a call computes: ``one`` (a frame, a step), an output of a window, or a batch."""
        return "batch" if self.batch > 1 else "output" if self.frames > 1 else one

    @property
    def title(self) -> str:
        """The settings in words, without usual values."""
        if self.dtype is None:  # of a publication
            return "as published"
        parts: list[str] = [part for part in (self.dtype, self.memory_format, self.implementation) if part]
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        parts += ["TF32" if self.tf32 else "no TF32"] if self.tf32 is not None and self.dtype == "float32" else []
        parts += ["CUDA graph"] if self.cuda_graph else []
        parts += ["huge pages"] if self.pages else []
        parts += ["L2 not flushed"] if self.flush is False else []
        parts += [f"batch {self.batch}"] if self.batch > 1 else []
        parts += [f"window of {self.frames} frames recomputed"] if self.frames > 1 else []
        return ", ".join(parts)


class GpuState(_Data):
    """The state of a GPU by NVML: clocks in MHz, watts, degrees Celsius, throttle reasons. None: not reported."""

    sm_mhz: NonNegativeInt | None = None
    memory_mhz: NonNegativeInt | None = None
    power_w: float | None = None
    temperature_c: int | None = None
    throttle: tuple[Text, ...] | None = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))  # `BaseModel` has a method ``copy``
class Probes:
    """Times of work that is the same for all subjects, in a process of its own, immediately before each sample: seconds
    per call of a copy in memory, of a copy in the cache, and of a matrix product. `costmodel.measure.probes` has the
    sizes."""

    copy: tuple[Seconds, ...]
    cached: tuple[Seconds, ...]
    product: tuple[Seconds, ...]


class Process(_Data):
    """The measurements of one fresh child process."""

    started: AwareDatetime | None = None  # equal in interleaved processes, whose n-th seconds belong to one round
    calls: Count = 1  # of a sample, back to back
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]  # samples: mean seconds per call
    positions: tuple[NonNegativeInt, ...] = ()  # of the samples in their rounds: 0 was timed first
    probes: Probes | None = None
    warmup_seconds: tuple[Seconds, ...] = ()
    # Of the output from the reference, relative to the largest reference value.
    deviation: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    peak_memory: NonNegativeInt | None = None  # bytes
    peak_gpu_memory: NonNegativeInt | None = None  # bytes in torch's allocator
    minor_faults: NonNegativeInt | None = None  # during the timed calls
    system_seconds: Annotated[float, Field(ge=0)] | None = None  # during the timed calls
    switches: NonNegativeInt | None = None  # involuntary context switches during the timed calls
    # Time in which the CPUs of the process were taken from this machine, from the first round to the last, summed.
    steal_seconds: Annotated[float, Field(ge=0)] | None = None
    mhz: Annotated[float, Field(gt=0)] | None = None  # of the CPUs of the process at its end, the mean
    huge_pages: Annotated[float, Field(ge=0, le=1)] | None = None  # their share of the anonymous memory at the end
    affinity: tuple[NonNegativeInt, ...] | None = None  # CPUs that the process may use
    gpu_before: GpuState | None = None
    gpu_after: GpuState | None = None

    @model_validator(mode="after")
    def _is_by_rounds(self) -> Self:
        rounds = {"positions": self.positions or self.seconds}
        for probe in () if self.probes is None else PROBES:
            rounds[f"probes of {probe}"] = getattr(self.probes, probe)
        for name, values in rounds.items():
            if len(values) != len(self.seconds):
                raise ValueError(f"{len(self.seconds)} seconds, but {len(values)} {name}")
        return self

    def beside(self, number: int) -> dict[str, Any]:
        """Position and probes of a round; None where they were not recorded."""
        probes = {name: self.probes and getattr(self.probes, name)[number] for name in PROBES}
        return {"position": self.positions[number] if self.positions else None, **probes}

    def __repr__(self) -> str:
        samples = f"{len(self.seconds)} sample{'s' if len(self.seconds) > 1 else ''}"
        return f"<Process: {samples}, median {statistics.median(self.seconds):.3g} s>"

    __str__ = __repr__


class Run(_Data):
    """All processes that timed one subject with the same settings and clock."""

    subject: Subject
    how: Settings
    clock: Clock
    processes: Annotated[tuple[Process, ...], Field(min_length=1)]

    @property
    def key(self) -> tuple[Subject, Settings, Clock]:
        return self.subject, self.how, self.clock

    def __repr__(self) -> str:
        samples = sum(len(process.seconds) for process in self.processes)
        processes = f"{len(self.processes)} process{'es' if len(self.processes) > 1 else ''}"
        return f"<Run: {self.title:.500}: {samples} sample{'s' if samples > 1 else ''} from {processes}>"

    __str__ = __repr__

    @model_validator(mode="after")
    def _is_by_its_clock(self) -> Self:
        if (self.clock == "published") != (self.how.dtype is None):
            raise ValueError("published times leave the dtype open, and measured times name a dtype")
        if self.clock != "published" and (self.clock == "wall") != (self.how.device == "cpu"):
            raise ValueError(
                f"the clock of {self.how.device} is {'wall' if self.how.device == 'cpu' else 'cuda-events'}"
            )
        return self

    @property
    def title(self) -> str:
        return f"{self.subject.title}, {self.how.title}"

    @staticmethod
    def column_names() -> list[str]:
        """The keys of `columns`."""
        sizes = [name for names in SIDES.values() for name in names]
        return [*_ABOUT, *sizes, *_OF_MODULES, *Settings.model_fields, "clock"]

    def columns(self) -> dict[str, Any]:
        """Subject, settings and clock as columns of a frame; sizes have the names that sweeps use."""
        about = self.subject
        sites = ",".join(f"{site}={cell}" for site, cell in about.sites)
        recurrence = None if about.module else about.recurrence
        values = [about.title, about.network, about.cell, sites, recurrence, about.classes]
        for field in SIDES:
            values += getattr(about, field) or (None, None)
        values += [about.module, about.arguments, ", ".join(about.inputs)]
        return dict(zip(self.column_names(), [*values, *dict(self.how).values(), self.clock], strict=True))


_ABOUT = ("subject", "network", "cell", "sites", "recurrence", "classes")
_OF_MODULES = ("module", "arguments", "inputs")
SIDES = {
    "kernel": ("kernel_x", "kernel_y"),
    "channels": ("in_channels", "out_channels"),
    "size": ("rows", "columns"),
}


Nanoseconds = Annotated[int, Field(ge=0, le=10**15)]


class Level(_Data):
    """The parts whose times were taken together: the modules, or the steps, whose paths have the same number of names.

    The time of a part is that of all code below its path, whoever calls the code, without the code of other parts of
    its level. At the first level the path "" is a part, too: the code of the whole that no other part holds.
    ``reads``: how often the clock was read for each part in one call, once for every stay in the part. ``covers``: of
    compiled code, the modules that each part, a group of what was fused, covers, and ``moved``, the bytes of the
    buffers that each part reads or writes (0: not known); empty for other code.
    """

    paths: tuple[Text, ...]
    reads: tuple[NonNegativeInt, ...]
    covers: tuple[tuple[Text, ...], ...] = ()
    moved: tuple[NonNegativeInt, ...] = ()

    @model_validator(mode="after")
    def _is_rectangular(self) -> Self:
        sizes = {len(self.paths), len(self.reads)} | {len(each) for each in (self.covers, self.moved) if each}
        if len(sizes) > 1:
            raise ValueError("a level needs reads, and covers and moved if any, for each of its paths")
        return self


class LayerTurn(_Data):
    """One instrumented sample of a level: nanoseconds of all its calls together, as read, the cost of reading the clock
    included. ``whole`` encloses ``parts``, which are in the order of `Level.paths`."""

    whole: Nanoseconds
    parts: tuple[Nanoseconds, ...]


class LayerProcess(_Data):
    """The measurements of one fresh process. Its n-th turn has one undisturbed sample, ``undisturbed.seconds[n]``,
    and one sample of each level, ``turns[level][n]``. Undisturbed calls and those of levels alternate; a sample has
    ``undisturbed.calls`` calls of its kind, the half with the middle times. ``read``: what one read of the clock
    costs, in nanoseconds. What the system counts in ``undisturbed`` (faults, switches, system time) is of all calls."""

    undisturbed: Process
    read: Nanoseconds
    turns: tuple[tuple[LayerTurn, ...], ...]

    @model_validator(mode="after")
    def _has_whole_turns(self) -> Self:
        if any(len(turns) != len(self.undisturbed.seconds) for turns in self.turns):
            raise ValueError("each level needs as many turns as there are undisturbed samples")
        return self


class LayerRun(_Data):
    """All processes that timed the parts of one subject with the same settings and clock.

    ``levels``: from coarse to fine, each timed in turns of its own. ``containers``: paths of parts that have no code of
    their own, such as a list of modules or a layer of a described network: their time is that of the parts in them.
    """

    subject: Subject
    how: Settings
    clock: Clock
    levels: tuple[Level, ...]
    containers: tuple[Text, ...] = ()
    processes: Annotated[tuple[LayerProcess, ...], Field(min_length=1)]

    @property
    def key(self) -> tuple[Subject, Settings, Clock]:
        return self.subject, self.how, self.clock

    @property
    def title(self) -> str:
        return f"layers of {self.subject.title}, {self.how.title}"

    def __repr__(self) -> str:
        processes = f"{len(self.processes)} process{'es' if len(self.processes) > 1 else ''}"
        parts = sum(len(level.paths) for level in self.levels)
        return f"<LayerRun: {self.title:.500}: {parts} parts at {len(self.levels)} levels, {processes}>"

    __str__ = __repr__

    @model_validator(mode="after")
    def _samples_fit_the_levels(self) -> Self:
        sizes = [len(level.paths) for level in self.levels]
        for process in self.processes:
            if len(process.turns) != len(sizes):
                raise ValueError(f"a process has {len(process.turns)} levels, the run {len(sizes)}")
            if any(len(turn.parts) != size for size, turns in zip(sizes, process.turns, strict=True) for turn in turns):
                raise ValueError("a turn needs a time for each part of its level")
        return self


_CallSchema = Annotated[Any, PlainValidator(calls.from_json), PlainSerializer(calls.to_json)]
OneCall = Annotated[Call, GetPydanticSchema(lambda _, handler: handler(_CallSchema))]  # not the fields of `Call`


class Samples(_Data):
    """Times of a point of a calibration, one a round: mean seconds per call of ``repeats`` calls back to back.
    ``after``: the number of the turn of the probes that each sample followed. The next turn followed the sample."""

    repeats: Count = 1
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    after: tuple[NonNegativeInt, ...]


class TimedCall(_Data):
    """A call of an operator, timed alone. ``hot``: with the same arguments again and again; ``cold``: with arguments
    that no cache holds. None: not timed."""

    call: OneCall
    hot: Samples | None = None
    cold: Samples | None = None

    @property
    def states(self) -> dict[str, Samples]:
        """The samples by state."""
        return {name: each for name, each in (("hot", self.hot), ("cold", self.cold)) if each}

    @property
    def title(self) -> str:
        return f"{self.call.name} of {', '.join(str(list(each.shape)) for each in self.call.tensors)}"


class TimedComposite(_Data):
    """A small module of costmodel's own, by its name there, timed with the same input again and again; ``calls``: of
    operators, in order."""

    name: Text
    calls: tuple[OneCall, ...]
    samples: Samples

    @property
    def states(self) -> dict[str, Samples]:
        return {"hot": self.samples}

    @property
    def title(self) -> str:
        return f"composite {self.name}"


class Calibration(_Data):
    """Times of operators and small modules on one machine with the same settings, from which rates of the machine are
    fitted. ``probes``: all turns, in order of time, with the settings ``how``. ``cache``: bytes of the largest one."""

    how: Settings
    probes: Probes
    cache: Count = 32 << 20
    points: tuple[TimedCall, ...] = ()
    composites: tuple[TimedComposite, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.how.device}, {self.how.title}".replace(", eager", "")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.how.implementation != "eager":
            raise ValueError("a calibration is of eager code")
        turns = len(self.probes.copy)
        if turns != len(self.probes.cached) or turns != len(self.probes.product):
            raise ValueError("the probes need as many times of each")
        keys: set[Any] = set()
        for each in self.timed:
            key = each.call if isinstance(each, TimedCall) else each.name
            if key in keys:
                raise ValueError(f"{each.title} appears twice")
            keys.add(key)
            if not each.states:
                raise ValueError(f"{each.title} has no samples")
            for samples in each.states.values():
                if len(samples.after) != len(samples.seconds) or max(samples.after) + 1 >= turns:
                    raise ValueError(f"{each.title}: each sample needs a turn of the probes before and after it")
        return self

    @property
    def timed(self) -> "tuple[TimedCall | TimedComposite, ...]":
        return *self.points, *self.composites

    @property
    def moment(self) -> Moment:
        """The median moment of the machine."""
        return Moment(*(statistics.median(getattr(self.probes, name)) for name in PROBES))

    def around(self, turn: int) -> tuple[float, float, float]:
        """Seconds of each probe around a sample that followed a turn: the geometric means of that turn and the next."""
        copy, cached, product = (getattr(self.probes, name)[turn : turn + 2] for name in PROBES)
        return math.sqrt(math.prod(copy)), math.sqrt(math.prod(cached)), math.sqrt(math.prod(product))

    def __repr__(self) -> str:
        samples = [each for point in self.timed for each in point.states.values()]
        return f"<Calibration: {self.title}: {sum(len(s.seconds) for s in samples)} samples of {len(samples)} points>"

    __str__ = __repr__

    def text(self) -> str:
        """The text of the calibration in a file, a call a line."""
        lists = "".join(
            f',\n"{name}": {_lines(each)}'
            for name, each in (("points", self.points), ("composites", self.composites))
            if each
        )
        probes = json.dumps({name: getattr(self.probes, name) for name in PROBES}, separators=(",", ":"))
        how = self.how.model_dump_json(exclude_defaults=True)
        return f'{{"how": {how},\n"probes": {probes}{lists}}}'


Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # in a second
Format = Literal["float64", "float32", "tf32", "bfloat16", "float16"]


class DataSheet(_Data):
    """The limits of a device by its maker, instead of measurements: peaks in FLOP/s, two per multiply-accumulate, by
    number format (tf32: float32 multiplied as TF32), and the bandwidth of memory in bytes per second. ``sparse`` peaks
    are for weights of which two in four are zeros, as those of torch's modules are not."""

    device: Literal["cpu", "cuda"]
    dense: Annotated[dict[Format, Rate], Field(min_length=1)]
    sparse: dict[Format, Rate] = {}
    bandwidth: Rate


class Gpu(_Data):
    """A GPU and its software; memory in bytes."""

    name: Text
    memory: Count | None = None
    driver: Text | None = None
    cuda: Text | None = None
    cudnn: Text | None = None


def median_moment(processes: Iterable[Process]) -> Moment | None:
    """The median of each probe of some processes; None without probes."""
    known = [process.probes for process in processes if process.probes]
    if not known:
        return None
    return Moment(*(statistics.median(s for probes in known for s in getattr(probes, name)) for name in PROBES))


class Host(_Data):
    """The machine and the software; memory in bytes. ``environment``: variables set for the child processes."""

    cpu: Text
    cores: Count | None = None
    memory: Count | None = None
    os: Text | None = None
    python: Text | None = None
    torch: Text | None = None
    costmodel: Text | None = None
    commit: Text | None = None
    cudnn_benchmark: bool | None = None
    environment: dict[Text, Text] = {}
    gpu: Gpu | None = None
    date: AwareDatetime | None = None
    source: Text | None = None

    def name(self, device: str) -> str:
        return self.gpu.name if device == "cuda" and self.gpu else self.cpu

    def merged(self, other: "Host") -> "Host":
        """``other``, completed by facts that only this host has, such as a GPU that is not used now."""
        known = {key: getattr(self, key) for key in type(self).model_fields if getattr(other, key) is None}
        return other.model_copy(update=known)

    def differences(self, other: "Host") -> list[str]:
        """Differences that keep runs of two hosts out of one file; an open fact of one host is no difference."""
        mine, theirs = (h.model_dump(exclude={"date", "commit", "costmodel", "source"}) for h in (self, other))
        return [
            f"{key} {theirs[key]!r}, here {mine[key]!r}"
            for key in mine
            if mine[key] != theirs[key] and None not in (mine[key], theirs[key])
        ]


class Profile(_Data):
    """A profile file. Immutable: `with_run` gives a new profile."""

    format: Literal[1] = FORMAT
    host: Host
    runs: tuple[Run, ...] = ()
    layers: tuple[LayerRun, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    data_sheet: DataSheet | None = None  # of a machine that nobody measured

    @model_validator(mode="after")
    def _each_run_once(self) -> Self:
        if self.data_sheet and (self.runs or self.layers or self.calibrations):
            raise ValueError("a data sheet has no measurements beside it")
        seen: set[Any] = set()
        every: list[Run | LayerRun | Calibration] = [*self.runs, *self.layers, *self.calibrations]
        for run in every:
            key = (Calibration, run.how) if isinstance(run, Calibration) else (type(run), *run.key)
            if key in seen:
                raise ValueError(f"{run.title} appears twice")
            seen.add(key)
            if run.how.device == "cuda" and self.host.gpu is None:
                raise ValueError(f"{run.title} was timed on a GPU, but the host has none")
        return self

    def __repr__(self) -> str:
        machine = self.host.gpu.name if self.host.gpu else self.host.cpu
        runs = f"{len(self.runs)} run{'s' if len(self.runs) != 1 else ''}"
        subjects = len({run.subject for run in self.runs})
        date = f", {self.host.date:%Y-%m-%d}" if self.host.date else ""
        layers = f", layers of {len(self.layers)}" if self.layers else ""
        layers += ", calibrated" if self.calibrations else ", data sheet" if self.data_sheet else ""
        return f"<Profile: {machine:.200}, {runs} of {subjects} subject{'s' if subjects != 1 else ''}{layers}{date}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """For notebooks: a row for each run, with its median; `costmodel.estimates` has intervals."""
        import pandas as pd

        rows = [
            {
                "subject": run.subject.title,
                "run as": run.how.title,
                "clock": run.clock,
                "processes": len(run.processes),
                "seconds": statistics.median(statistics.median(process.seconds) for process in run.processes),
            }
            for run in self.runs
        ]
        return str(pd.DataFrame(rows).to_html(max_rows=60))

    @cached_property
    def by_key(self) -> dict[tuple[Subject, Settings, Clock], Run]:
        return {run.key: run for run in self.runs}

    @cached_property
    def moments(self) -> dict[str, Moment]:
        """The median moment of the machine by device, at which times are stated; without probes there is none."""
        found = {
            device: median_moment(p for run in self.runs if run.how.device == device for p in run.processes)
            for device in dict.fromkeys(run.how.device for run in self.runs)
        }
        return {device: moment for device, moment in found.items() if moment}

    @property
    def layers_by_key(self) -> dict[tuple[Subject, Settings, Clock], LayerRun]:
        return {run.key: run for run in self.layers}

    def at(self, bandwidth: float) -> "Profile":
        """This profile with its times stated at another memory bandwidth, in bytes per second. `InvalidInput` without
        probes."""
        if not self.moments:
            raise InvalidInput("no probes were recorded, so its times cannot be stated at a bandwidth")
        moments = {device: moment.with_bandwidth(bandwidth) for device, moment in self.moments.items()}
        stated = self._with(self.runs, self.layers)
        vars(stated)["moments"] = moments  # in the place of the cached medians
        return stated

    def with_run(self, run: Run) -> "Profile":
        """This profile with ``run`` in the place of the run with the same key, or at the end."""
        return self._with((self.by_key | {run.key: run}).values(), self.layers)

    def with_layers(self, run: LayerRun) -> "Profile":
        """This profile with the layers ``run`` in the place of those with the same key, or at the end."""
        return self._with(self.runs, (self.layers_by_key | {run.key: run}).values())

    def with_calibration(self, found: Calibration) -> "Profile":
        """This profile with a calibration in the place of that with the same settings, or at the end."""
        every = {each.how: each for each in self.calibrations} | {found.how: found}
        return self.model_copy(update={"calibrations": tuple(every.values())})

    def without(self, subject: Subject) -> "Profile":
        """This profile without the runs of a subject."""
        return self._where(lambda run: run.subject != subject)

    def only(self, keep: Callable[[Settings], bool]) -> "Profile":
        """This profile with the runs whose settings ``keep`` accepts."""
        return self._where(lambda run: keep(run.how))

    def _where(self, keep: Callable[[Run | LayerRun], bool]) -> "Profile":
        return self._with(filter(keep, self.runs), filter(keep, self.layers))

    def _with(self, runs: Iterable[Run], layers: Iterable[LayerRun]) -> "Profile":
        return Profile.model_construct(
            format=self.format,
            host=self.host,
            runs=tuple(runs),
            layers=tuple(layers),
            calibrations=self.calibrations,
            data_sheet=self.data_sheet,
        )

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each raw sample: subject, settings, clock, numbers of process and round,
        seconds per call, position in the round, seconds of the probes before the sample. ``attrs`` carries the
        machine."""
        import pandas as pd

        samples = [
            run.columns()
            | {"process": number, "started": process.started, "round": round_, "seconds": seconds}
            | process.beside(round_)
            for run in self.runs
            for number, process in enumerate(run.processes)
            for round_, seconds in enumerate(process.seconds)
        ]
        about = ["process", "started", "round", "seconds", "position", *PROBES]
        frame = pd.DataFrame(samples, columns=[*Run.column_names(), *about])
        frame.attrs.update(machine=self.host.cpu, gpu=self.host.gpu and self.host.gpu.name)
        return frame

    def text(self) -> str:
        """The text of the file, one run per line, one call of a calibration per line."""
        host = self.host.model_dump_json(exclude_defaults=True)
        more = f',\n"layers": {_lines(self.layers)}' if self.layers else ""
        if self.calibrations:
            several = ",\n".join(each.text() for each in self.calibrations)
            more += f',\n"calibrations": [\n{several}\n]'
        if self.data_sheet:
            more += f',\n"data_sheet": {self.data_sheet.model_dump_json(exclude_defaults=True)}'
        return f'{{\n"format": {self.format},\n"host": {host},\n"runs": {_lines(self.runs)}{more}\n}}\n'

    def save(self, path: Path) -> None:
        """Replace the file as a whole: at every moment the path holds the old file or the new file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.text())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _lines(runs: Iterable[_Data]) -> str:
    lines = [run.model_dump_json(exclude_defaults=True) for run in runs]
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
