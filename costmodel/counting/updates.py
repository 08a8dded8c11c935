"""What changes tensors in their places: writes to a few places of a table, sums into them, steps of optimizers."""

from collections.abc import Sequence
from typing import Any

import torch

from costmodel.counting.products import Events, Rule, total
from costmodel.counting.traffic import places
from costmodel.work.events import Event

# ---- places of a table -----------------------------------------------------------------------------------------------

_REDUCTIONS = {
    **dict.fromkeys(("sum", "add"), (Event.ADDITION,)),
    "mean": (Event.ADDITION, Event.DIVISION),
    **dict.fromkeys(("prod", "multiply"), (Event.PRODUCT,)),
    **dict.fromkeys(("amax", "amin"), (Event.COMPARISON,)),
}
_WRITERS = frozenset(
    {
        "index_copy",
        "index_put",
        "_index_put_impl",
        "_unsafe_index_put",
        "scatter",
        "index_fill",
        "put",
        "masked_scatter",
    }
)
_ADDERS = frozenset({"index_add", "scatter_add", "scatter_reduce", "index_reduce", "embedding_renorm"})


def into_places(name: str) -> Rule | None:
    """The rule of what writes or adds to some places of its first argument, in place or in a copy, for which the whole
    argument moves; None for other names."""
    bare = name.removesuffix("_")
    if bare not in _WRITERS | _ADDERS:
        return None

    def rule(result: Any, /, *args: Any, **options: Any) -> Events:
        count = places(name, args)
        moved = {} if name.endswith("_") else {Event.MOVE: args[0].numel()}
        events: Events = dict.fromkeys(_combined(bare, args, options), count)
        if options.get("alpha", 1) != 1:
            events[Event.PRODUCT] = count
        return events | moved or {Event.MOVE: count}

    return rule


def _combined(name: str, args: Sequence[Any], options: dict[str, Any]) -> tuple[Event, ...]:
    """What happens to each written element besides the writing."""
    if name in ("index_add", "scatter_add"):
        return (Event.ADDITION,)
    if name in ("scatter_reduce", "index_reduce"):
        return _REDUCTIONS[args[4]]
    if name == "embedding_renorm":  # the norm of each row, and a factor
        return (Event.REDUCTION, Event.PRODUCT)
    if "reduce" in options:
        return _REDUCTIONS[options["reduce"]]
    return (Event.ADDITION,) if "put" in name and len(args) > 3 and args[3] is True else ()


def table_gradient(result: Any, grad: Any, indices: Any, rows: Any, padding: Any, by_frequency: bool = False) -> Events:
    """The gradient of an embedding: each of its rows is added to a row of a table of zeros."""
    return {Event.ADDITION: grad.numel()} | ({Event.DIVISION: grad.numel()} if by_frequency else {})


# ---- lists of tensors ------------------------------------------------------------------------------------------------


def for_each(part: Rule) -> Rule:
    """The rule of an operation on lists of tensors, in one kernel: the sum of its parts."""

    def rule(result: Any, first: Any, /, *rest: Any, **options: Any) -> Events | None:
        results = first if result is None else result

        def at(place: int, value: Any) -> Any:
            listed = isinstance(value, list | tuple) and len(value) == len(results)
            return value[place] if listed else value

        parts = []
        for place, each in enumerate(results):
            given = [at(place, value) for value in (first, *rest)]
            named = {name: at(place, value) for name, value in options.items()}
            if len(given) > 3:  # of addcmul and addcdiv; a tensor of factors has no number
                named["value"] = None if isinstance(given[3], torch.Tensor) else given[3]
            parts.append(part(each, *given[:3], **named))
        return total(parts)

    return rule


# ---- steps of optimizers that arrive as one operation ----------------------------------------------------------------


def _per_parameter(parameters: Sequence[Any], **counts: int) -> Events:
    elements = sum(each.numel() for each in parameters)
    return {Event[name.upper()]: count * elements for name, count in counts.items() if count}


def _adam(decoupled: bool) -> Rule:
    """Two moving averages (``lerp``; a product and ``addcmul``), a root, its correction and ``addcdiv``."""

    def rule(
        result: Any, parameters: Any, /, *rest: Any, weight_decay: float, amsgrad: bool, maximize: bool, **_: Any
    ) -> Events:
        decayed = weight_decay != 0
        return _per_parameter(
            parameters,
            addition=5 + (decayed and not decoupled),
            product=5 + decayed,
            division=2,
            transcendental=1,
            comparison=int(amsgrad),
            pointwise=int(maximize),
        )

    return rule


def _sgd(
    result: Any, parameters: Any, /, *rest: Any, weight_decay: float, momentum: float, dampening: float, nesterov: bool,
    maximize: bool, is_first_step: bool, **_: Any,
) -> Events:  # fmt: skip
    """The first step has no momentum to change: it keeps the gradient."""
    decayed, moved = weight_decay != 0, momentum != 0
    later = moved and not is_first_step
    return _per_parameter(
        parameters,
        addition=1 + decayed + later + (moved and nesterov),
        product=1 + decayed + later * (1 + (dampening != 0)) + (moved and nesterov),
        move=int(moved and is_first_step),
        pointwise=int(maximize),
    )


def _adagrad(result: Any, parameters: Any, /, *rest: Any, weight_decay: float, maximize: bool, **_: Any) -> Events:
    """A sum of squares, its root, ``addcdiv``."""
    decayed = weight_decay != 0
    counts = {"addition": 3 + decayed, "product": 2 + decayed, "division": 1, "transcendental": 1}
    return _per_parameter(parameters, **counts, pointwise=int(maximize))


def _unscaled(result: Any, gradients: Any, /, *rest: Any) -> Events:
    """Gradients of mixed precision, back in their scale, and a look for infinite ones."""
    return _per_parameter(gradients, product=1, comparison=1)


OPTIMIZERS: dict[str, Rule] = {
    "_fused_adam": _adam(decoupled=False),
    "_fused_adamw": _adam(decoupled=True),
    "_fused_sgd": _sgd,
    "_fused_adagrad": _adagrad,
    "_amp_foreach_non_finite_check_and_unscale": _unscaled,
}
