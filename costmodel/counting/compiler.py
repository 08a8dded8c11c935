"""Work without torch's compiler, whose import takes seconds.

Kernels for meta tensors and optimizers import the compiler for one reason: to be kept from being compiled
(``torch/_compile.py``). Nothing compiles before somebody else imports the compiler.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class _StandIn(ModuleType):
    """What is asked for besides its two functions is the real compiler's."""

    @staticmethod
    def graph_break(*args: Any, **options: Any) -> None:
        """Nothing: nobody compiles."""

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, **options: Any) -> Callable[..., Any]:
        """The function, kept from the compiler as soon as that is there."""
        kept: list[Callable[..., Any]] = []

        def called(*args: Any, **kwargs: Any) -> Any:
            compiler = sys.modules.get(NAME)
            if not kept and compiler is not None and compiler is not _STAND_IN:
                kept.append(compiler.disable(function, recursive, **options))
            return (kept[0] if kept else function)(*args, **kwargs)

        return called

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # who looks at all modules there are, such as `inspect`
            raise AttributeError(name)
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)


_STAND_IN = _StandIn(NAME)


@contextmanager
def not_imported() -> Iterator[None]:
    """Another module in the place of the compiler, where nobody has imported that."""
    absent = sys.modules.setdefault(NAME, _STAND_IN) is _STAND_IN
    try:
        yield
    finally:
        if absent and sys.modules.get(NAME) is _STAND_IN:
            del sys.modules[NAME]
