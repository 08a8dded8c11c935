"""Times of the kernels that Inductor made of a compiled module, with the modules that each kernel covers.

Inductor writes a Python function for each graph, which starts one kernel after the other. `Fused` reads the functions,
and while a turn lasts puts others in their place that also read a clock between kernels; nothing else differs from the
undisturbed call. With its provenance tracking on, Inductor tells the operations of the graph that a kernel computes,
and torch tells the modules of these operations.
"""

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeAlias

import torch

from costmodel.errors import InvalidInput
from costmodel.measure.child import main, serve
from costmodel.measure.clock import Clock, Step
from costmodel.measure.marks import READS, CudaStamps, Stamps, Turn, WallStamps, steps_of
from costmodel.measure.timed import Timed, TimedNetwork

COARSE = 8  # parts of the level for steps that the marks of all kernels would distort
UNTOLD = "(not told)"  # a module that torch does not tell, such as that of the code around a graph break

# Of the parts of a level: names, clock reads, modules, bytes; the fields of `costmodel.profiles.records.Level`.
_Level: TypeAlias = tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[str, ...], ...], tuple[int, ...]]
_START = -1  # the mark before the first kernel of a graph: the time until it belongs to no kernel
_HANDLE = re.compile(r"#\s*\[Provenance debug handles\]\s*(\S+:\d+)")
_LIBRARIES = ("extern_kernels.", "torch.ops.", "aten.", "inductor_ops.", "_quantized.")
_NO_KERNELS = ("empty_strided", "reinterpret_tensor", "alloc_from_pool", "assert_", "get_raw_stream", "args.clear")
_NOT_CALLED = ("get_args", "benchmark_compiled_module", "__init__", "recursively_apply_fns")


@dataclass(frozen=True)
class Kernel:
    """One start of a kernel in the code of a graph. ``modules``: paths of the modules whose operations it computes, in
    order of execution; ``layouts``: those for which it only lays out inputs, weights or results anew."""

    name: str
    modules: tuple[str, ...]
    layouts: tuple[str, ...] = ()
    moved: int = 0  # bytes of the buffers that it reads or writes (0: not known)

    def told(self, once: bool, whole: bool) -> "Kernel":
        """The kernel with the modules that are certain: not those of code that runs for several (not ``once``), nor
        the code of no module where the graph is not the ``whole``."""
        modules = [path if once and (path or whole) else UNTOLD for path in self.modules]
        return replace(self, modules=tuple(dict.fromkeys(modules)))

    @property
    def title(self) -> str:
        """The name, and the purpose of a kernel that computes nothing."""
        return f"{self.name} (layout of {', '.join(self.layouts)})" if self.layouts and not self.modules else self.name


@dataclass(frozen=True)
class _Graph:
    """A graph as Inductor compiled it: its code, and the node of the graph behind each kernel."""

    code: str
    paths: Mapping[str, str]  # of the module of each node, by the name of the node
    handles: Mapping[str, Sequence[str]]  # names of nodes by kernel
    results: Mapping[str, Sequence[str]]  # names of nodes behind each buffer, of one node where that is known
    sizes: Mapping[str, int]  # bytes of each buffer
    ops: Mapping[str, str]  # ``convolution`` for the node of aten.convolution.default, by the name of the node


class Watch:
    """The graphs that Inductor compiles inside of `watching`."""

    def __init__(self, module: "torch.nn.Module | None", steps: Mapping[str, str]) -> None:
        named = module.named_modules() if module is not None else ()
        self.names: dict[str, str] = {str(id(each)): name for name, each in named}
        self.steps = steps
        self.graphs: list[_Graph] = []

    def keep(self, code: str) -> None:
        """Keep the graph that is being compiled."""
        from torch._inductor import debug
        from torch._inductor.virtualized import V

        graph: Any = V.graph
        nodes = [node for node in graph.module.graph.nodes if node.op == "call_function"]
        handles = getattr(debug, "_inductor_triton_kernel_to_post_grad_node_info", {})
        rank = {step: place for place, step in enumerate(self.steps.values())}
        paths = {node.name: self._path(node) for node in nodes}
        self.graphs.append(
            _Graph(
                code,
                dict(sorted(paths.items(), key=lambda each: rank.get(each[1], 0))),
                {name: tuple(origins) for name, origins in handles.items()},
                {name: _behind(buffer) for name, buffer in graph.name_to_buffer.items()},
                {name: size for name in [*graph.name_to_buffer, *graph.graph_inputs] if (size := _size(graph, name))},
                {node.name: str(node.target).split(".")[-2:][0] for node in nodes},
            )
        )

    def _path(self, node: Any) -> str:
        """The path of the module whose code called an operation, or of the step of a described network; "" without a
        module."""
        stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
        trace: str = node.meta.get("stack_trace") or ""
        if self.steps:  # the code of a description is one line for each step: variable = ...
            found = re.search(r"<eval_with_key>.*\n\s*(\w+) = ", trace)
            return self.steps.get(found[1] if found else "", UNTOLD)
        if stack:  # by the identity of each module; the n-th call adds @n
            return self.names.get(list(stack)[-1].split("@")[0], UNTOLD)
        return "" if trace else UNTOLD


def _behind(buffer: Any) -> tuple[str, ...]:
    """Names of the nodes that a buffer comes from; of one, where the buffer holds exactly its result."""
    exact = getattr(buffer, "origin_node", None)
    return tuple(node.name for node in ([exact] if exact is not None else getattr(buffer, "origins", ())))


def _size(graph: Any, name: str) -> int:
    """Bytes of a buffer or an input; 0 for those that are no tensor of known size."""
    try:
        return int(graph.get_numel(name)) * int(graph.get_dtype(name).itemsize)
    except (AttributeError, KeyError, NotImplementedError, TypeError):
        return 0


@contextmanager
def watching(module: "torch.nn.Module | None", steps: "Mapping[str, str] | None" = None) -> Iterator[Watch]:
    """Keep what Inductor tells of the graphs that it compiles inside the block, without its cache of graphs, which has
    nothing about modules. ``steps``: of a described network, the step of each variable in its code."""
    from torch._functorch import config as functions
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering

    watch = Watch(module, steps or {})
    before = GraphLowering.save_output_code
    GraphLowering.save_output_code = staticmethod(watch.keep)
    try:
        with (
            config.patch({"fx_graph_cache": False, "trace.provenance_tracking_level": 1}),
            functions.patch(enable_autograd_cache=False),
        ):
            yield watch
    finally:
        GraphLowering.save_output_code = before


# ---- the code of a graph ---------------------------------------------------------------------------------------------


@dataclass
class _Function:
    """A function of the compiled code that starts kernels; ``kernels``: their numbers by the lines of the starts."""

    function: FunctionType
    source: str
    kernels: dict[int, int]

    def __post_init__(self) -> None:
        self.undisturbed = self.function.__code__

    def marked(self, ends: Collection[int]) -> CodeType:
        """The code with a mark after each of the kernels ``ends``, and one before the first kernel."""
        tree = ast.parse(self.source)
        for definition in ast.walk(tree):
            if isinstance(definition, ast.FunctionDef) and definition.name == self.function.__name__:
                self._mark(definition, ends, started=[])
        code = compile(ast.fix_missing_locations(tree), self.undisturbed.co_filename, "exec")
        return next(each for each in _codes(code) if each.co_qualname == self.undisturbed.co_qualname)

    def _mark(self, block: Any, ends: Collection[int], started: list[bool]) -> None:
        for name, statements in _blocks(block):
            marked: list[ast.stmt] = []
            ended: int | None = None  # the kernel whose results are still being checked
            for statement in statements:
                if ended is not None and not _is_cleanup(statement):
                    marked.append(_mark(ended))
                    ended = None
                if not started and not _is_prologue(statement):
                    marked.append(_mark(_START))
                    started.append(True)
                self._mark(statement, ends, started)
                marked.append(statement)
                if (number := self.kernels.get(statement.lineno)) is not None and number in ends:
                    ended = number
            setattr(block, name, marked + ([] if ended is None else [_mark(ended)]))


def _mark(number: int) -> ast.stmt:
    return ast.parse(f"_costmodel_mark(({number}, _costmodel_now()))").body[0]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _blocks(statement: Any) -> list[tuple[str, list[ast.stmt]]]:
    """The lists of statements in a statement, by the name of their field."""
    fields = ((name, getattr(statement, name, None)) for name in ("body", "orelse", "finalbody"))
    return [(name, value) for name, value in fields if isinstance(value, list) and value]


def _statements(block: Any) -> Iterator[ast.stmt]:
    """All statements in a statement, in the order of the code."""
    for _, statements in _blocks(block):
        for statement in statements:
            yield statement
            yield from _statements(statement)


def _calls(statement: ast.stmt) -> list[str]:
    """Names of the functions that a statement calls, the outermost first; none of a block of statements."""
    if _blocks(statement):
        return []
    return [ast.unparse(each.func) for each in ast.walk(statement) if isinstance(each, ast.Call)]


def _call(statement: ast.stmt) -> ast.Call:
    """The outermost call of a statement."""
    return next(each for each in ast.walk(statement) if isinstance(each, ast.Call))


def _is_cleanup(statement: ast.stmt) -> bool:
    """True of checks of the last result, and of the release of its inputs."""
    calls = _calls(statement)
    return isinstance(statement, ast.Delete) or bool(calls and all(name.startswith("assert_") for name in calls))


def _is_prologue(statement: ast.stmt) -> bool:
    """True of the code that takes the inputs and checks them, and of blocks, whose statements are asked themselves."""
    return all(name.startswith(("assert_", "args.clear")) for name in _calls(statement))


def _kernel_started(statement: ast.stmt, own: Collection[str], announced: bool) -> str:
    """The name of the kernel that a statement starts, or "". ``own``: kernels that Inductor compiled; ``announced``: a
    comment right before the statement tells of a kernel."""
    for name in _calls(statement):
        if (first := name.split(".")[0]) in own:
            return first
        if name.startswith(_LIBRARIES) or (announced and not name.startswith(_NO_KERNELS)):
            return name
    return ""


@dataclass(frozen=True)
class _Start:
    """A statement that starts a kernel, with the nodes of the graph that Inductor names for it, in their order."""

    name: str
    line: int
    nodes: tuple[str, ...]
    named: tuple[str, ...]  # of a library also those before, which Inductor may name, too
    is_own: bool  # compiled by Inductor, not of a library
    moved: int  # bytes


def _starts(graph: _Graph, own: Mapping[str, str], definition: ast.FunctionDef) -> Iterator[_Start]:
    lines, order = graph.code.splitlines(), {name: place for place, name in enumerate(graph.paths)}
    handles: list[str] = []
    announced, last = False, definition.lineno
    for statement in _statements(definition):
        comments = [line for line in lines[last : statement.lineno - 1] if line.lstrip().startswith("#")]
        last = statement.lineno if _blocks(statement) else statement.end_lineno or statement.lineno
        handles += [found[1] for line in comments if (found := _HANDLE.search(line))]
        announced = announced or any("Source Nodes:" in line or _HANDLE.search(line) for line in comments)
        if name := _kernel_started(statement, own, announced):
            nodes = [node for handle in handles for node in graph.handles.get(handle, ())]
            if not nodes and isinstance(statement, ast.Assign):
                names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
                nodes = [node for each in names for node in graph.results.get(each, ())]
            nodes = sorted(dict.fromkeys(nodes), key=lambda node: order.get(node, len(order)))
            # The operation of a library's kernel has the name of the kernel.
            exact = [] if name in own else [node for node in nodes if graph.ops.get(node) in name.split(".")]
            buffers = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name)}
            twice = len(set(re.findall(r"\bin_out_ptr\d+", own.get(name, ""))))  # read and written; these come first
            arguments = [each for each in map(ast.unparse, _call(statement).args) if each in graph.sizes]
            known = all(each in graph.sizes for each in buffers & graph.results.keys())
            moved = sum(graph.sizes.get(each, 0) for each in [*buffers, *arguments[:twice]]) if known else 0
            computed = tuple(exact if len(exact) == 1 else nodes)
            yield _Start(name, statement.lineno, computed, tuple(nodes), name in own, moved)
            handles, announced = [], False


def _functions(graph: _Graph, kernels: list[Kernel]) -> list[_Function]:
    """The functions of a graph that start kernels; the kernels are added to ``kernels``."""
    tree, module = ast.parse(graph.code), _loaded(graph.code)
    own = {
        target.id: ast.unparse(statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.value).startswith("async_compile.")
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    places = [(vars(module), tree.body), *((vars(vars(module)[each.name]), each.body) for each in classes)]
    found = [
        (names[each.name], list(_starts(graph, own, each)))
        for names, statements in places
        for each in statements
        if isinstance(each, ast.FunctionDef) and each.name not in _NOT_CALLED
    ]
    starts = [start for _, each in found for start in each]
    # A library computes all of a node. Inductor's own kernels that name this node, too, lay out its inputs, or later
    # its result, and then name all that the library's kernel names.
    libraries = {start.nodes[0]: start for start in starts if not start.is_own and len(start.nodes) == 1}
    functions = []
    for function, each in found:
        numbers = {start.line: len(kernels) + number for number, start in enumerate(each)}
        kernels += [_kernel(start, graph.paths, libraries) for start in each]
        if numbers:
            functions.append(_Function(function, graph.code, numbers))
    return functions


def _kernel(start: _Start, paths: Mapping[str, str], libraries: Mapping[str, _Start]) -> Kernel:
    laid = [libraries[node] for node in start.nodes if start.is_own and node in libraries]
    others = {name for each in laid for name in (each.named if each.line < start.line else each.nodes)}
    computed = [paths.get(node, UNTOLD) for node in start.nodes if node not in others]
    layouts = [paths.get(each.nodes[0], UNTOLD) for each in laid]
    if not start.nodes:
        computed = [UNTOLD]
    return Kernel(start.name, tuple(dict.fromkeys(computed)), tuple(dict.fromkeys(layouts)), start.moved)


def _loaded(code: str) -> ModuleType:
    """The loaded module of a compiled graph."""
    from torch._inductor.codecache import PyCodeCache

    for module in reversed(PyCodeCache.modules):
        if module.__file__ and Path(module.__file__).read_text() == code:
            return module
    raise InvalidInput("Inductor does not tell where the code is that it runs: no times of parts")


# ---- turns -----------------------------------------------------------------------------------------------------------


class Fused:
    """The kernels of a step that was compiled inside of `watching`, and turns that time them.

    ``levels``, from coarse to fine: parts of neighbouring kernels where there are many, then each kernel. A part is
    named by its kernels and covers modules, of which `UNTOLD` stands for those that torch does not tell. Kernels that
    the step does not start are left out; code of no kernel is in no part.

    ``calls``: how often a step calls the compiled module; code that runs more often serves several modules, which torch
    does not tell.
    """

    def __init__(self, watch: Watch, step: Step, calls: int, clock: Clock, stamps: Stamps) -> None:
        self.step, self.clock, self.stamps = step, clock, stamps
        kernels: list[Kernel] = []
        self._functions = [each for graph in watch.graphs for each in _functions(graph, kernels)]
        trial = self._read(self._marked([(number,) for number in range(len(kernels))]), 1)
        alone = len({id(self._home(number)) for number in trial.times}) == 1
        self.kernels = {number: kernels[number].told(trial.reads[number] <= calls, alone) for number in trial.times}
        parts, joined = [(number,) for number in trial.times], self._joined(trial.times)
        self._parts: list[Sequence[Sequence[int]]] = [joined, parts] if len(parts) >= 2 * len(joined) else [parts]
        self._codes = [self._marked(each) for each in self._parts]
        self.reads = [tuple(trial.reads[part[-1]] for part in each) for each in self._parts]
        self.levels = [self._level(each, reads) for each, reads in zip(self._parts, self.reads, strict=True)]

    def sample(self, level: int, calls: int) -> tuple[int, ...]:
        """Nanoseconds of ``calls`` steps with the marks of a level, and of its parts, as they were read."""
        read = self._read(self._codes[level], calls)
        ends = [part[-1] for part in self._parts[level]]
        if any(read.reads[end] != calls * often for end, often in zip(ends, self.reads[level], strict=True)):
            raise InvalidInput("the kernels that run differ from call to call, so their times do not add up")
        return read.whole, *(read.times[end] for end in ends)

    def cost(self) -> int:
        """Nanoseconds that one mark costs, marks back to back behind a step, which keeps a GPU busy meanwhile."""
        costs = []
        for _ in range(5):
            log: list[tuple[int, Any]] = []
            append, now = log.append, self.stamps.now

            def several(append: Any = append, now: Any = now) -> None:
                self.step()
                for _ in range(READS):
                    append((0, now()))

            self.clock(several, 1)
            costs.append(self.stamps.between(log[0][1], log[-1][1]) / (len(log) - 1))
        return round(median(costs))

    def _home(self, number: int) -> _Function:
        return next(each for each in self._functions if number in each.kernels.values())

    def _marked(self, parts: Sequence[Sequence[int]]) -> list[CodeType]:
        """The code of each function with a mark at the end of each part."""
        ends = {part[-1] for part in parts}
        return [each.marked(ends) for each in self._functions]

    def _read(self, codes: Sequence[CodeType], calls: int) -> "_Read":
        """The times of ``calls`` steps with marks; afterwards the code is undisturbed again."""
        log: list[tuple[int, Any]] = []
        for each, code in zip(self._functions, codes, strict=True):
            each.function.__globals__.update(_costmodel_mark=log.append, _costmodel_now=self.stamps.now)
            each.function.__code__ = code
        try:
            whole = round(1e9 * calls * self.clock(self.step, calls))
        finally:
            for each in self._functions:
                each.function.__code__ = each.undisturbed
        times, reads = Counter[int](), Counter[int]()
        for (_, begin), (number, end) in pairwise(log):
            if number != _START:  # the time before is of other code
                times[number] += self.stamps.between(begin, end)
                reads[number] += 1
        return _Read(whole, times, reads)

    def _joined(self, numbers: Collection[int]) -> list[tuple[int, ...]]:
        """Neighbouring kernels of a function as `COARSE` parts of as many kernels: the same parts in every process."""
        parts: dict[tuple[int, int], list[int]] = {}
        for place, number in enumerate(numbers):
            parts.setdefault((id(self._home(number)), COARSE * place // len(numbers)), []).append(number)
        return [tuple(part) for part in parts.values()]

    def _level(self, parts: Sequence[Sequence[int]], reads: Sequence[int]) -> _Level:
        titles = []
        for part in parts:
            first, last = self.kernels[part[0]], self.kernels[part[-1]]
            titles.append(first.title if len(part) == 1 else f"{first.name} to {last.name}")
        seen = Counter[str]()
        paths = []
        for title in titles:
            seen[title] += 1
            paths.append(f"{title} #{seen[title]}" if titles.count(title) > 1 else title)
        covers = [dict.fromkeys(path for number in part for path in self.kernels[number].modules) for part in parts]
        sizes = [[self.kernels[number].moved for number in part] for part in parts]
        moved = [sum(each) if all(each) else 0 for each in sizes]
        return tuple(paths), tuple(reads), tuple(map(tuple, covers)), tuple(moved)


@dataclass(frozen=True)
class _Read:
    whole: int  # nanoseconds
    times: Counter[int]  # nanoseconds of each kernel that ran, in the order of their first ends
    reads: Counter[int]


def fused(
    subject: Timed, clock: Clock, calls: int, depth: int | None, stamps: "Stamps | None" = None
) -> tuple[dict[str, Any], Turn]:
    """The levels of a compiled subject, and a turn, as `costmodel.measure.marks.layered` gives those of others."""
    steps: dict[str, str] = {}
    if isinstance(subject, TimedNetwork):
        body = subject.network.body
        steps = {node.name: step for node, step in zip(body.graph.nodes, steps_of(body), strict=True) if step}
    torch.compiler.reset()
    with watching(subject.module, steps) as watch:
        for _ in range(3):  # the first states may be compiled for alone
            subject.step()
    on_gpu = subject.how.device == "cuda"
    stamps = stamps or (CudaStamps(torch.cuda) if on_gpu else WallStamps())
    kernels = Fused(watch, subject.step, subject.how.frames, clock, stamps)
    levels = kernels.levels[:depth]

    samples = [partial(kernels.sample, level, 1) for level in range(len(levels))]
    for sample in samples:
        sample()
    turn = Turn(lambda: clock(subject.step, 1), samples, calls)
    return {"calls": turn.kept, "levels": levels, "containers": (), "read": kernels.cost()}, turn


if __name__ == "__main__":
    main(partial(serve, turns=fused))
