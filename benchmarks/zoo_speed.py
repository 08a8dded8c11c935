"""`costmodel.count` against FlopCounterMode over timm, a network a family, and the seconds of closed forms.

Both counters take turns on the same tensors without values. Needs the packages of `make zoo`. Run:
PYTHONPATH=.zoo .venv/bin/python benchmarks/zoo_speed.py [networks] [networks in letters]
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import costmodel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import torchvision_operators

TURNS = 2


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def counted_by_torch(net: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad(), FlopCounterMode(display=False):
        net(x)


def main() -> None:
    most, in_letters = (int(each) for each in (*sys.argv[1:], "100", "10")[:2])
    torchvision_operators.define()
    import timm

    families = {name.split("_")[0].rstrip("0123456789"): name for name in reversed(timm.list_models())}
    names = sorted(families.values())
    ratios, forms = {}, {}
    for number, name in enumerate(names[:: max(1, len(names) // most)][:most]):
        with torch.device("meta"):
            net = timm.create_model(name).eval()
        x = torch.zeros(1, *net.default_cfg["input_size"], device="meta")
        ours, theirs = partial(costmodel.count, net, x), partial(counted_by_torch, net, x)
        try:
            ours(), theirs()
        except AssertionError:  # of FlopCounterMode's module tracker, without gradients
            print(f"{name}: FlopCounterMode fails")
            continue
        ratios[name] = statistics.median(seconds(ours) / seconds(theirs) for _ in range(TURNS))
        if number < in_letters:
            try:
                forms[name] = seconds(partial(costmodel.count, net, "Nx3xHxW"))
            except costmodel.InvalidInput as error:
                print(f"{name}: {error}")
    tell("count / FlopCounterMode", ratios, "0.7 wanted")
    tell("closed forms, seconds", forms, "5 wanted")


def tell(what: str, numbers: dict[str, float], wanted: str) -> None:
    if numbers:
        worst = max(numbers, key=numbers.__getitem__)
        median = statistics.median(numbers.values())
        print(f"{what:<24} median {median:.2f} over {len(numbers)} networks (at most {wanted})")
        print(f"{'':<24} worst {numbers[worst]:.2f} ({worst})")


if __name__ == "__main__":
    main()
