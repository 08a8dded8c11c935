"""The cost of training a variant of ERFNet with gradual grouping."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from costmodel.describe.catalogue import NETWORKS, find_network
from costmodel.describe.networks.erfnet import VARIANTS
from costmodel.errors import InvalidInput
from costmodel.price.gradual import Training, gradual
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.table import Table, table


def dense_of(model: str) -> str:
    """The dense network that a grouped variant starts from; `InvalidInput` for other networks."""
    approach = find_network(model).approach
    variant = VARIANTS.get(approach)
    if variant is None or variant.groups == 1:
        grouped = ", ".join(name for name, network in NETWORKS.items() if is_grouped(network.approach))
        raise InvalidInput(f"{approach} has no grouped convolutions: one of {grouped}")
    name = next(
        name
        for name, other in VARIANTS.items()
        if other.groups == 1 and (other.replaced, other.light) == (variant.replaced, variant.light)
    )
    return f"erfnet-{name}"


def is_grouped(approach: str) -> bool:
    """True for the approach of a grouped variant."""
    return approach in VARIANTS and VARIANTS[approach].groups > 1


def document(model: str, alphas: Sequence[float], images: int, **settings: Any) -> Document:
    """A training of ``model`` on ``images`` images per epoch, with one alpha per epoch.

    ``settings``: arguments of `costmodel.table`, such as ``size``, ``convention``, ``decoder_blocks``.
    """
    dense = dense_of(model)
    counted = table([dense, model], **settings)
    price = counted.convention
    flops = {entry.model: row.flops for entry, row in zip(counted.described, counted.rows, strict=True)}
    work = gradual(flops[dense], flops[model], alphas, images)
    names = [find_network(each).approach for each in (dense, model)]
    rows = _rows(work)
    about = {"convention": price.name, "unit": price.unit}
    whole = {"model": model, "dense": dense, **about, "images": images, "frame": [flops[dense], flops[model]]}
    return Document(
        json=lambda: whole | asdict(work),
        csv=lambda: [{"training": name, "work": n, **about} for name, n in rows],
        sheets=lambda: [_sheet(counted, rows, names, work, images)],
    )


def _rows(work: Training) -> list[tuple[str, int]]:
    return [
        ("gradual, mask kept", work.kept),
        ("gradual, switched", work.switched),
        ("grouped from the start", work.grouped_only),
    ]


def _sheet(counted: Table, rows: list[tuple[str, int]], names: list[str], work: Training, images: int) -> Sheet:
    price = counted.convention
    body = [[name, f"{n / 1e15:,.3f}", f"{n:,}", f"{100 * n / rows[0][1]:.2f}"] for name, n in rows]
    title = f"Training {names[1]} from {names[0]}: {work.epochs} epochs with a mask, {work.fine} at alpha 0"
    notes = [
        f"{images:,} images of {counted.unit_of_work.removesuffix(' frame')} an epoch; an image takes 3 forward "
        "passes: forward, gradients of the inputs, gradients of the weights.",
        f"P{price.unit}s: 10^15, convention {price.name}, {price.source}.",
        f"kept: dense ({names[0]}) in all epochs. switched: grouped ({names[1]}) once alpha is 0.",
        "The paper does not print the shape of alpha, the epochs or the batch size.",
    ]
    return Sheet(title, ["training", f"P{price.unit}s", f"{price.unit}s", "%"], "lrrr", body, notes)
