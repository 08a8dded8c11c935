"""Modules of other people, named on a command line: ``package.module:factory``, ``path/to/file.py:factory``, or a file
that holds an exported or an ONNX network."""

import importlib
import importlib.util
import inspect
import logging
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import torch

from costmodel.counting.modules import owner
from costmodel.counting.reasons import placed_reason
from costmodel.counting.shadow import WithoutMemory
from costmodel.errors import InvalidInput, meant, question

EXPECTED = "package.module:factory, such as torchvision.models:resnet50, file.py:factory, or a file .pt2 or .onnx"


def load(name: str, arguments: Mapping[str, Any] | None = None, meta: bool = True) -> Any:
    """The module that ``name`` is, or that the function or class ``name`` makes of ``arguments``.

    With ``meta`` it is made without memory for weights, if it lets itself be. `InvalidInput` tells what went
    wrong, with the error of the factory and its place.
    """
    if Path(name).suffix in _READERS:
        if arguments:
            raise InvalidInput(f"{name!r} is a file, not a factory: it takes no arguments")
        return _read(name)
    place, colon, attribute = name.rpartition(":")
    if Path(f"{place}.py").is_file() and "/" in place:
        raise InvalidInput(f"{name!r}: did you mean '{place}.py:{attribute}'?")
    if not (place.strip(" .") and colon and attribute) or (place[0] == "." and not place.endswith(".py")):
        raise InvalidInput(f"{name!r}: expected {EXPECTED}")
    found = _imported(place, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = meant(part, [each for each in dir(found) if not each.startswith("_")])
            raise InvalidInput(f"{name!r}: {place} has no {attribute!r}{close}")
        found = getattr(found, part)
    if owner(found) is not None or isinstance(found, torch.export.ExportedProgram):
        if arguments:
            raise InvalidInput(f"{name!r} is a module, not a factory: it takes no arguments")
        return found
    if not callable(found):
        kind = "Python module" if isinstance(found, ModuleType) else type(found).__name__
        raise InvalidInput(f"{name!r} is a {kind}: neither a module nor something that makes one")
    made = _made(found, name, arguments or {}, meta)
    if owner(made) is None and not isinstance(made, torch.export.ExportedProgram):
        raise InvalidInput(f"{name!r} made a {type(made).__name__}, not a torch.nn.Module")
    return made


def prepared(net: Any, train: bool, dtype: str | None) -> Any:
    """A module, or a method of it, in training or evaluation mode, with floating-point parameters of a type."""
    kind = getattr(torch, dtype or "float32", None)
    if not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        raise InvalidInput(f"dtype {dtype!r}: one of float32, bfloat16, float16, float64")
    if isinstance(net, torch.export.ExportedProgram):
        net = net.module()  # its mode was chosen when it was exported
    elif (module := owner(net)) is not None:  # one with a length of 0 is false
        module.train(train)
    if dtype and (module := owner(net)) is not None:
        with_floats(module, dtype)
    return net


def with_floats(module: torch.nn.Module, dtype: str) -> None:
    """Give floating-point parameters and buffers a type; complex ones keep theirs, which ``module.to`` makes real."""
    getattr(module, {"float32": "float", "float64": "double", "float16": "half"}.get(dtype, dtype))()


@contextmanager
def running_user_code() -> Iterator[None]:
    """The current folder is where modules are looked for, as for `python -m`, and what is printed goes to stderr."""
    here, out = str(Path.cwd()), sys.stdout
    sys.path.insert(0, here)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
        if here in sys.path:
            sys.path.remove(here)


def _imported(place: str, name: str) -> Any:
    with running_user_code():
        try:
            if place.endswith(".py"):
                return _of_file(Path(place), name)
            return importlib.import_module(place)
        except InvalidInput:
            raise
        except (Exception, SystemExit) as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name
            if missing and (place == missing or place.startswith(f"{missing}.")):
                raise InvalidInput(
                    f"{name!r}: there is no module {missing!r} here or among the installed ones{_missing(missing)}"
                ) from None
            raise InvalidInput(f"importing {place} raised {placed_reason(error)}") from error


def _missing(missing: str) -> str:
    """The modules with nearly that name, of the package, the current folder or the installed ones, as a question."""
    package, dot, last = missing.rpartition(".")
    if dot:
        folders = getattr(sys.modules.get(package), "__path__", [])
        return question([f"{package}.{name}" for name in get_close_matches(last, _modules(folders))])
    return question(get_close_matches(last, [*_modules([str(Path.cwd())]), *packages_distributions()]))


def _modules(folders: Iterable[str]) -> list[str]:
    return [each.name for each in pkgutil.iter_modules(folders)]


def _of_file(file: Path, given: str) -> Any:
    """The module in a file of Python. The file's folder is where its own imports are looked for first."""
    if not file.is_file():
        close = get_close_matches(file.name, [each.name for each in file.parent.glob("*.py")], cutoff=0.7)
        raise InvalidInput(f"{given!r}: there is no file {str(file)!r}{question(close)}")
    root, name = file.resolve().parent, file.stem
    while (root / "__init__.py").is_file():  # of a package, whose relative imports need its name
        root, name = root.parent, f"{root.name}.{name}"
    _forget_namesakes(root)
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))  # stays: a factory may import when it is called
    if "." in name:
        module = importlib.import_module(name)
        if (found := Path(getattr(module, "__file__", None) or "").resolve()) != file.resolve():
            raise InvalidInput(f"{given!r}: Python already has another {name}, {str(found)!r}: rename the folder")
        return module
    known = sys.modules.get(name)
    if known is not None and Path(getattr(known, "__file__", None) or "").resolve() == file.resolve():
        return known
    spec: Any = importlib.util.spec_from_file_location(name, file.resolve())
    module = importlib.util.module_from_spec(spec)
    if known is None:
        sys.modules[name] = module  # dataclasses and pickles look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            sys.modules.pop(name, None)
        raise
    return module


def _forget_namesakes(root: Path) -> None:
    """Forget modules from the folders of other files that have the name of a module in this folder, so that two
    folders can each have a ``layers.py``."""
    others = (_ROOTS | {Path.cwd()}) - {root}
    _ROOTS.add(root)
    namesakes = set()
    for name in {name.partition(".")[0] for name in sys.modules} - {"costmodel", "__main__"}:
        source = Path(getattr(sys.modules.get(name), "__file__", None) or "/").resolve()
        home = source.parent.parent if source.name == "__init__.py" else source.parent
        if home in others and ((root / f"{name}.py").is_file() or (root / name / "__init__.py").is_file()):
            namesakes.add(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in namesakes]:
        _FORGOTTEN.append(sys.modules.pop(name))


_ROOTS: set[Path] = set()  # folders of files that were loaded
_FORGOTTEN: list[ModuleType] = []  # functions of theirs may still run


def _made(factory: Any, name: str, arguments: Mapping[str, Any], meta: bool) -> Any:
    _check_arguments(factory, name, arguments)
    with running_user_code():
        if meta:
            heard = sys.stdout = _Heard(sys.stderr)
            try:
                with WithoutMemory():
                    return factory(**arguments)
            except (Exception, SystemExit) as error:  # it may need values: then with memory
                if heard.text:
                    print(f"costmodel: {name} is called again, with memory: {placed_reason(error)}", file=sys.stderr)
        try:
            return factory(**arguments)
        except (Exception, SystemExit) as error:
            raise InvalidInput(f"{name} raised {placed_reason(error)}") from error


class _Heard:
    """A stream that knows if something was written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.text = stream, False

    def write(self, text: str) -> int:
        self.text = self.text or bool(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _check_arguments(factory: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the factory does not take, and missing ones, before anything runs."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some of C have none
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        taken = [
            each
            for each in signature.parameters.values()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        needed = [each.name for each in taken if each.default is each.empty and each.name not in arguments]
        if needed:
            example = ", ".join(f'"{each}": ...' for each in needed)
            raise InvalidInput(f"{name} raised TypeError: {error}; give arguments={{{example}}}") from error
        unknown = [each for each in arguments if each not in signature.parameters]
        names = [each.name for each in taken]
        hint = meant(unknown[0], names) if unknown else ""
        allowed = f"; it takes {', '.join(names) or 'none'}"
        raise InvalidInput(f"{name} raised TypeError: {error}{hint or allowed}") from error


def _exported(file: str) -> Any:
    return torch.export.load(file)


def _onnx(file: str) -> Any:
    try:
        import onnx
        from onnx2pytorch import ConvertModel
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{file!r}: ONNX files need a package: pip install onnx2pytorch ({error})") from None
    model = onnx.load(file)
    _tidy(model.graph)
    return ConvertModel(model)


def _tidy(graph: Any) -> None:
    """Without what the converter does not know: dots in names, of which it makes those of its modules, and weights that
    stand for others."""
    weights = {each.name for each in graph.initializer}
    same = {
        each.output[0]: each.input[0] for each in graph.node if each.op_type == "Identity" and each.input[0] in weights
    }
    nodes = [each for each in graph.node if each.output[0] not in same]
    del graph.node[:]
    graph.node.extend(nodes)
    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = each.name.replace(".", "_")
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [same.get(name, name).replace(".", "_") for name in names]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _tidy(attribute.g)


_READERS = {".pt2": _exported, ".onnx": _onnx}


def _read(file: str) -> Any:
    if not Path(file).is_file():
        raise InvalidInput(f"there is no file {file!r}")
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # torch logs what it raises, too
    try:
        with running_user_code():
            return _READERS[Path(file).suffix](file)
    except InvalidInput:
        raise
    except Exception as error:  # readers of damaged files raise anything
        raise InvalidInput(f"{file!r} cannot be read: {placed_reason(error)}") from error
    finally:
        logging.disable(before)
