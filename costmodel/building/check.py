"""A comparison of a description, or of the count of a user's module, with its running module: events, parameters,
outputs, peak memory, and the totals of two third-party counters."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import fx

from costmodel.building.module import Streaming, build, check_memory
from costmodel.building.reference import REFERENCES
from costmodel.counting.count import Count
from costmodel.counting.explain import COUNTERS, Reading, readings
from costmodel.counting.modules import owner
from costmodel.counting.observe import observe
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput, in_words
from costmodel.price.conventions import FVCORE, TORCH
from costmodel.work.events import Event, Work

PARTS = (Event.MAC, Event.NORM, Event.RESIZE)  # the events of descriptions that fvcore counts

# Eq. (1) is evaluated twice in float32, with sums in different orders: values near 1 differ in their last digits.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Finding:
    """One comparison: the described value, the value seen elsewhere, and the difference in words ("" if both agree)."""

    what: str
    described: Any
    seen: Any
    difference: str

    @property
    def ok(self) -> bool:
        return not self.difference

    def __repr__(self) -> str:
        return f"<Finding: {self.what} {'agree' if self.ok else f'differ: {self.difference:.300}'}>"


@dataclass(frozen=True)
class Check:
    """All comparisons for one subject."""

    subject: str
    program: Program
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    def __repr__(self) -> str:
        wrong = [finding.what for finding in self.findings if not finding.ok]
        agree = len(self.findings) - len(wrong)
        differ = f"; {', '.join(wrong)} differ" if wrong else ""
        return f"<Check of {self.subject:.200}: {agree} of {len(self.findings)} comparisons agree{differ}>"

    def _repr_html_(self) -> str:
        """For notebooks: a row for each comparison."""
        rows = [
            f"<tr><td>{escape(each.what)}</td><td>{escape(in_words(each.described))}</td>"
            f"<td>{escape(each.difference) or 'agree'}</td></tr>"
            for each in self.findings
        ]
        head = "<tr><th>comparison</th><th>described</th><th>result</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>"

    @property
    def fvcore_parts(self) -> dict[str, int]:
        """fvcore's total by price and event: the reason why the total is not half of FlopCounterMode's."""
        work = self.program.work.executed
        return {f"{FVCORE.prices[event]} x {event.value}": FVCORE.prices[event] * work[event] for event in PARTS}


@dataclass(frozen=True)
class ModuleCheck:
    """All comparisons for a module of the user's: its count against the module that runs. ``described`` of a tool is
    what its rules say that it prints; ``notes`` say why that is not what the convention of its name counts."""

    subject: str
    count: Count
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    fvcore_parts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)


def check_module(
    count: Count, net: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], subject: str = ""
) -> ModuleCheck:
    """Compare a count with the module on the CPU that was counted, called with the same inputs with values: parameters,
    FlopCounterMode, fvcore, and the most memory that torch's allocator holds."""
    whole = owner(net)
    known = {each.counter.name: each for each in readings(count, [COUNTERS[name] for name in TOOLS])[0]}
    findings = [_unknown(dict(count.uncounted))]
    notes: list[str] = []
    if whole is not None:
        findings.append(_number("parameters", int(count.params), sum(p.numel() for p in whole.parameters())))
    for name, run in (("FlopCounterMode", _dispatched), ("fvcore", fvcore_count)):
        finding, told = _tool(count, known[name], whole, net, run, args, kwargs)
        findings += [finding] if finding else []
        notes += told
    findings.append(_memory(count, net, args, kwargs))
    return ModuleCheck(subject or count.name, count, tuple(findings), tuple(notes), dict(known["fvcore"].items))


TOOLS = ("FlopCounterMode", "fvcore")


def _tool(
    count: Count,
    reading: Reading,
    whole: torch.nn.Module | None,
    net: Any,
    run: Callable[..., int],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Finding | None, list[str]]:
    """The total that a tool prints beside that of its rules, and the reasons why its convention counts another one."""
    name = reading.counter.name
    if name == "fvcore" and (whole is not net or kwargs):
        return None, ["fvcore: not compared: it traces modules whose inputs have no names."]
    try:
        seen = run(net, *args, **kwargs)
    except Exception as error:  # a tool may fail in any way
        why = str(error).strip().partition("\n")[0]
        if reading.total is None:
            return None, [
                f"{name}: not compared, it fails ({why:.200}), as its rules say: {'; '.join(reading.unknown)}."
            ]
        return Finding(name, reading.total, None, f"counted {reading.total:,}, but {name} fails: {why:.200}"), []
    if reading.total is None:
        return None, [f"{name}: not compared, it prints {seen:,}; not known here: {'; '.join(reading.unknown)}."]
    missing = reading.unseen if name == "FlopCounterMode" else {}
    finding = _number(name, reading.total - sum(missing.values()), seen)
    convention = int(count.flops("torch" if name == "FlopCounterMode" else "fvcore"))
    if convention == seen or not finding.ok:
        return finding, []
    unseen = ", ".join(f"{operation} {amount:+,}" for operation, amount in reading.unseen.items() if amount)
    word = "has no formula on a CPU for" if missing else "does not see, or prices otherwise:"
    return finding, [f"{name} prints {seen:,}, its convention counts {convention:,}: {name} {word} {unseen}."]


def _unknown(uncounted: Mapping[str, int]) -> Finding:
    return Finding("unknown ops", {}, uncounted, ", ".join(f"{n} x {op}" for op, n in uncounted.items()))


def _dispatched(net: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    with torch.random.fork_rng(devices=[]):
        return flop_counter_count(net, *args, **kwargs)


# Of peak memory: what kernels need besides results depends on the CPU and its threads. Bytes: their smallest buffers.
MEMORY_TOLERANCE, SMALL = 0.05, 16_384


def _memory(count: Count, net: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Finding:
    """The most memory that torch's allocator holds; where kernels need copies, either with or without these."""
    seen = int(count.held) + allocated(lambda: _whole(net(*args, **kwargs)))
    low, high = int(count.peak_memory), int(count.cpu_peak_memory)
    near = low * (1 - MEMORY_TOLERANCE) - SMALL <= seen <= high * (1 + MEMORY_TOLERANCE) + SMALL
    off = f"counted {low:,} to {high:,} bytes, allocated {seen:,}, more than 5 % and {SMALL:,} bytes beside"
    return Finding("peak memory", high, seen, "" if near else off)


def allocated(run: Callable[[], Any]) -> int:
    """Bytes that torch's CPU allocator holds at most while something runs, besides what was there before."""
    from torch.profiler import ProfilerActivity, profile

    gc.collect()
    with torch.no_grad(), _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    results = seen.profiler.kineto_results if seen.profiler else None
    now = highest = 0
    events = [each for each in (results.events() if results else ()) if each.name() == "[memory]"]
    for each in sorted(events, key=lambda each: each.start_ns()):
        now += each.nbytes()
        highest = max(highest, now)
    return highest


@contextmanager
def _silent() -> Iterator[None]:
    """Without what libraries in C write to stderr, such as that a profiler starts."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def check(program: Program, subject: str = "") -> Check:
    """Build the module of a description and compare both; ``subject``: the title in reports.

    Events, launches and FlopCounterMode run on meta tensors, fvcore and the outputs on real tensors: a check takes
    about the time of three frames. `InvalidInput` where the module does not fit into memory.

    >>> import costmodel
    >>> costmodel.check(costmodel.cell("sep", kernel=5, channels=8, size=(6, 9))).ok
    True
    """
    if not isinstance(program, Program):
        raise InvalidInput(f"check takes a description, not {in_words(program)}")
    with torch.device("meta"):
        ghost = build(program).eval()
    check_memory([program])
    with torch.random.fork_rng(devices=[]):  # a mismatch is repeatable, and the caller's random state stays
        torch.manual_seed(0)
        module = build(program).eval()
    with torch.inference_mode(False):  # inference mode hides operations from the counters
        return compare(program, ghost, module, subject or program.name)


def compare(program: Program, ghost: Streaming, module: Streaming, subject: str) -> Check:
    """Compare a description with given modules: ``ghost`` on the meta device, ``module`` on a real device."""
    frame = torch.empty(1, *ghost.frame_shape, device="meta")
    arguments = (frame, ghost.zeros(frame))
    observed = observe(ghost, *arguments)
    described = program.work.executed
    parameters = sum(p.numel() for p in module.parameters())
    findings = [
        Finding("events", described, observed.cost.work, _event_differences(described, observed.cost.work)),
        _unknown(dict(observed.uncounted)),
        _number("launches", program.cost.launches, observed.cost.launches),
        _number("parameters", program.parameters, parameters),
        _number("FlopCounterMode", TORCH.flops(described), flop_counter_count(ghost, *arguments)),
    ]
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(1, *module.frame_shape, generator=generator)
    state = tuple(torch.randn(s.shape, generator=generator) for s in module.zeros(real))
    findings.append(_number("fvcore", FVCORE.flops(described), fvcore_count(module, real, *([state] if state else []))))
    errors = list(_output_errors(program, module, real, state))
    if errors:
        worst = max(errors)
        ok = worst <= TOLERANCE  # False for NaN
        findings.append(
            Finding(
                "outputs",
                0.0,
                worst,
                "" if ok else f"largest deviation from the hand-written cell {worst:.1e} > {TOLERANCE:.0e}",
            )
        )
    return Check(subject, program, tuple(findings))


def _number(what: str, described: int, seen: int) -> Finding:
    return Finding(
        what,
        described,
        seen,
        "" if described == seen else f"described {described:,}, seen {seen:,} ({seen - described:+,})",
    )


def _event_differences(described: Work, seen: Work) -> str:
    return "; ".join(
        f"{event.value}: described {described[event]:,}, seen {seen[event]:,} ({seen[event] - described[event]:+,})"
        for event in Event
        if described[event] != seen[event]
    )


def _output_errors(
    program: Program, module: Streaming, frame: torch.Tensor, state: tuple[torch.Tensor, ...]
) -> Iterator[float]:
    """The largest deviation of each recurrent cell from its hand-written equations, on the values that reach the cell.

    A user's own recurrence has no reference and is skipped.
    """
    inputs = {step.name: step.inputs[0].name for step in program.steps}
    states = {state.before.name: state.after.name for state in program.states}
    values: dict[str, torch.Tensor] = {}
    for cell, recurrence in program.recurrences:
        if recurrence not in REFERENCES:
            continue
        values = values or _record(module, frame, state)
        prefix = f"{cell}." if cell else ""
        x = next(inputs[step.name] for step in program.steps if step.name.startswith(f"{prefix}x"))
        before = [name for name in states if name.rpartition(".")[0] == cell]
        with torch.no_grad():
            expected = REFERENCES[recurrence](
                module.body.get_submodule(cell), *(values[name.replace(".", "_")] for name in (x, *before))
            )
        after = [values[states[name].replace(".", "_")] for name in before]
        yield max(float((a - e).abs().max()) for a, e in zip(after, expected, strict=True))


def _record(module: Streaming, frame: torch.Tensor, state: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """Every intermediate value of one frame, by name."""
    values: dict[str, torch.Tensor] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                values[n.name] = result
            return result

    with torch.no_grad():
        Recorder(module.body, garbage_collect_values=False).run(frame, *state)
    return values


def fvcore_count(module: torch.nn.Module, *args: Any) -> int:
    """The total of ``fvcore.nn.FlopCountAnalysis``: MACs, which fvcore calls flops. fvcore fails on meta tensors."""
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(module, args)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total())


def flop_counter_count(module: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """The total of ``torch.utils.flop_counter.FlopCounterMode``: FLOPs, two per MAC."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _whole(module(*args, **kwargs))
    return int(counter.get_total_flops())


def _whole(output: Any) -> Any:
    """An output, or all that a generator yields, which is work, too."""
    return list(output) if isinstance(output, Iterator) else output
