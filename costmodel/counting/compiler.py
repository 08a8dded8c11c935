"""Work without torch's compiler and its symbolic shapes, whose imports take as long as the count of many networks.

Kernels for meta tensors and optimizers import the compiler for one reason: to be kept from being compiled
(``torch/_compile.py``); checks of arguments import symbolic shapes to ask if a plain boolean is true
(``torch._check``). Nothing compiles, and no size is symbolic, before somebody else imports these.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """A module in the place of the one of its name: what is asked for besides its functions is the real one's."""

    asked: tuple[str, ...] = ()  # of its names with underscores, which also those ask for who look at all modules

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in self.asked:
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _Compiler(_StandIn):
    asked = ("__path__",)  # of a package, to import a part of it

    @staticmethod
    def graph_break(*args: Any, **options: Any) -> None:
        """Nothing: nobody compiles."""

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, **options: Any) -> Callable[..., Any]:
        """The function, kept from the compiler as soon as that is there."""
        kept: list[Callable[..., Any]] = []

        def called(*args: Any, **kwargs: Any) -> Any:
            compiler = sys.modules.get(_COMPILER.__name__)
            if not kept and compiler is not None and compiler is not _COMPILER:
                kept.append(compiler.disable(function, recursive, **options))
            return (kept[0] if kept else function)(*args, **kwargs)

        return called


class _Shapes(_StandIn):
    def is_nested_int(self, size: Any) -> bool:
        """False for a number."""
        return type(size) is not int and bool(self.__getattr__("is_nested_int")(size))

    def expect_true(self, condition: Any, *more: Any) -> bool:
        """The truth of a boolean; symbolic ones are for the real module."""
        return condition if type(condition) is bool else bool(self.__getattr__("expect_true")(condition, *more))


_COMPILER = _Compiler("torch._dynamo")
_STAND_INS = {each.__name__: each for each in (_COMPILER, _Shapes("torch.fx.experimental.symbolic_shapes"))}


@contextmanager
def not_imported() -> Iterator[None]:
    """Other modules in the places of these, where nobody has imported them."""
    absent = [(name, each) for name, each in _STAND_INS.items() if sys.modules.setdefault(name, each) is each]
    try:
        yield
    finally:
        for name, each in absent:
            if sys.modules.get(name) is each:
                del sys.modules[name]
