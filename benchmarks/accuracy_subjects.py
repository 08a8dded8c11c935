"""The subjects of `prediction_accuracy.py`, by family. Calibration times none of them, and no model was tuned to them.

Networks of torchvision and timm are modules of a user's: made by a factory below, counted, and timed by their names.
The packages come from the folder of `make .zoo/ready`, or from wherever Python finds them.
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from costmodel.describe.catalogue import describe_network, find_network
from costmodel.describe.cells import describe_cell
from costmodel.errors import InvalidInput
from costmodel.measure.jobs import Job
from costmodel.measure.modules import Module, module
from costmodel.measure.operations import operations
from costmodel.measure.profile import choose
from costmodel.profiles.recording import changed
from costmodel.profiles.records import Settings, Subject
from costmodel.work.cost import Operation

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "torchvision": """
        resnet18 resnet50 resnext50_32x4d regnet_y_800mf densenet121 squeezenet1_1 mobilenet_v2 mobilenet_v3_large
        shufflenet_v2_x1_0 mnasnet1_0 efficientnet_b0 convnext_tiny vit_b_16 swin_t lraspp_mobilenet_v3_large
        deeplabv3_mobilenet_v3_large
    """,
    "timm": """
        resnet26d mobilenetv3_small_100 efficientnet_lite0 ghostnet_100 repvgg_a0 mobilevit_xs convnext_atto
        mixer_s32_224 vit_tiny_patch16_224 vit_small_patch16_224
    """,
}
TOGETHER = 7  # modules whose processes are alive together
CELLS = ("standard", "spatial", "depth", "sep")


def find_packages() -> None:
    """Let Python look for packages in the folder of `make .zoo/ready`, also in child processes, which get the path of
    their parent."""
    sys.path += [str(folder) for folder in (ROOT / "tests", ROOT / ".zoo") if str(folder) not in sys.path]


# ---- factories -------------------------------------------------------------------------------------------------------


def torchvision(name: str) -> nn.Module:
    """A network of torchvision with random weights."""
    from torchvision_operators import define

    define()
    from torchvision.models import get_model

    segments = {"weights_backbone": None} if name.startswith(("lraspp", "deeplab", "fcn")) else {}
    net: nn.Module = get_model(name, weights=None, **segments)
    return net


def timm(name: str) -> nn.Module:
    """A network of timm with random weights."""
    from torchvision_operators import define

    define()  # timm imports torchvision
    from timm import create_model

    net: nn.Module = create_model(name, pretrained=False)
    return net


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with padding and batch norms, as it is usually written."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(map(self.block, [3, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in widths[:-1])
        self.merge = nn.ModuleList(self.block(2 * n, n) for n in widths[:-1])
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def block(before: int, after: int) -> nn.Module:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> Any:
        kept: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([kept[level], self.up[level](x)], 1))
        return self.head(x)


def unet(width: int = 32, classes: int = 19) -> nn.Module:
    return UNet(width, classes)


# ---- jobs ------------------------------------------------------------------------------------------------------------


def networks(how: Settings) -> list[Job]:
    return choose([how])


def small(how: Settings) -> list[Job]:
    return choose([how], size=(384, 768))


def erfnet(how: Settings) -> list[Job]:
    return choose([how], ["erfnet"])


def cells(how: Settings) -> list[Job]:
    jobs = choose([how], None, CELLS, kernels=[(k, k) for k in (3, 5, 7)], channels=[(96, 96)], size=(96, 160))
    return jobs + choose([how], None, CELLS, channels=[(56, 56)], size=(45, 90))


def modules(how: Settings) -> list[Job]:
    """Networks of torchvision and timm, as far as Python finds the packages, and a U-Net."""
    chosen: list[tuple[str, str, dict[str, Any]]] = [("unet", "1x3x256x256", {})]
    for package, names in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            print(f"no {package} here: make .zoo/ready installs it; its networks are left out", file=sys.stderr)
            continue
        chosen += [(package, "1x3x224x224", {"name": name}) for name in names.split()]
    made = [module(f"{__name__}:{factory}", shape, arguments=arguments) for factory, shape, arguments in chosen]
    return list(_in_groups([Job(each.subject, how, each.workload) for each in made]))


def _in_groups(jobs: Sequence[Job]) -> Iterator[Job]:
    """Jobs, so many of which have the same base: their processes are alive together."""
    for number, job in enumerate(jobs):
        yield job.against(jobs[number - number % TOGETHER].subject)


FAMILIES: dict[str, Callable[[Settings], list[Job]]] = {
    "networks": networks,
    "small": small,
    "erfnet": erfnet,
    "cells": cells,
    "modules": modules,
}


def family(subject: Subject) -> str:
    """The family that a recorded subject is of."""
    if subject.module is not None:
        return "modules"
    if subject.network is None:
        return "cells"
    if subject.network.startswith("erfnet"):
        return "erfnet"
    return "networks" if subject.size == (1024, 2048) else "small"


def short(subject: Subject) -> str:
    """A short title: of the factories here, the package and the name of the network; of variants of ERFNet with its
    name."""
    if subject.module is None:
        return f"ERFNet-{subject.title}" if (subject.network or "").startswith("erfnet-") else subject.title
    factory = subject.module.rpartition(":")[2] if subject.module.startswith(f"{__name__}:") else subject.module
    return " ".join([factory, *map(str, json.loads(subject.arguments or "{}").values())])


# ---- from a recorded subject back to what is timed -------------------------------------------------------------------


def described(subject: Subject) -> Any:
    """The program of a recorded network or cell."""
    if subject.network is None:
        return describe_cell(
            subject.cell or "",
            kernel=subject.kernel or 3,
            channels=subject.channels or 0,
            size=subject.size or (0, 0),
            recurrence=subject.recurrence,
        )
    given: dict[str, Any] = {"size": subject.size, "classes": subject.classes, "heads": False}
    if subject.cell is not None:
        at = dict.fromkeys(find_network(subject.network).sites, subject.cell) | dict(subject.sites)
        given |= {"cell": at, "kernel": subject.kernel, "recurrence": subject.recurrence}
    return describe_network(subject.network, **given)


def counted(subject: Subject) -> Module:
    """The module of a recorded subject, as it is now; `InvalidInput` where it has changed since."""
    found = module(str(subject.module), *subject.inputs, arguments=json.loads(subject.arguments or "{}"))
    if found.subject.structure != subject.structure:
        raise InvalidInput(changed(subject, found.subject, "the profile"))
    return found


def operations_of(subject: Subject, how: Settings) -> Sequence[Operation]:
    """The operations of one call with some settings, as `costmodel predict` gets them."""
    what = described(subject) if subject.module is None else counted(subject)
    return operations(what, how.dtype or "float32", how.memory_format or "contiguous", how.batch)
