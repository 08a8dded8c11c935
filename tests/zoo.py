"""Counts the networks of timm, torchvision and transformers, and holds the counts against torch's own counter.

``python tests/zoo.py [timm|torchvision|transformers ...] [--sample] [--only NAME,...] [--format json]``

The packages are no dependency: ``make zoo`` installs them into a folder of their own, and runs the sample. Networks
have random weights; those of transformers are small ones of their kind, with padded sequences in the attention mask.
Exact: the FLOPs of convention "torch" are those of `torch.utils.flop_counter.FlopCounterMode` on the same call, with
attention and transformer layers in their plain kernels, since that counter does not see the fused ones of a CPU. Where
that counter lacks a rule (see `faults`), it is told that rule, and the table says so. Exit code 1 where a network of
the sample is not exact.
"""

import argparse
import importlib
import inspect
import json
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
import zoo_transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from zoo_transformers import Call, NotBuilt, said

import costmodel
from costmodel.counting.call import ReadsValues
from costmodel.counting.shadow import WithoutMemory

PACKAGES = ("timm", "torchvision", "transformers")
SECONDS = 120  # of one network

SAMPLE = {
    "timm": """
        resnet18 mobilenetv3_small_100 tinynet_e levit_128s tiny_vit_5m_224 efficientformer_l1 efficientformerv2_s0
        vit_tiny_patch16_224 swin_tiny_patch4_window7_224 beit_base_patch16_224 xcit_nano_12_p16_224 coat_tiny
        mobilevit_xxs sequencer2d_s volo_d1_224 hiera_tiny_224
    """,
    "torchvision": """
        alexnet googlenet shufflenet_v2_x0_5 densenet121 convnext_tiny vit_b_32 swin_v2_t maxvit_t
        fasterrcnn_mobilenet_v3_large_320_fpn ssdlite320_mobilenet_v3_large maskrcnn_resnet50_fpn
        lraspp_mobilenet_v3_large deeplabv3_mobilenet_v3_large r2plus1d_18 raft_small
    """,
    "transformers": """
        bert roberta distilbert electra deberta-v2 longformer big_bird reformer gpt2 gpt_neox llama mistral gemma2 qwen2
        mixtral qwen2_moe deepseek_v3 mamba t5 bart clip whisper wav2vec2 vit swin detr segformer xlnet perceiver
    """,
}


@dataclass(frozen=True)
class Result:
    """What came of one network: "exact", "different", "refused", or "not built" where no call was found that runs."""

    package: str
    name: str
    outcome: str
    why: str = ""
    flops: int = 0
    with_values: bool = False
    seconds: float = 0.0


# ---- what FlopCounterMode lacks --------------------------------------------------------------------------------------


def _grouped(a: Any, b: Any, offsets: Any = None, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    """Matrix products of groups of rows: each row meets one matrix."""
    return 2 * prod(a) * b[-1]


def _matrix_vector(a: Any, b: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    return 2 * prod(a)


def _added_matrix_vector(c: Any, a: Any, b: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    return 2 * prod(a)


def _recurrent(x: Any, inner: Any, outer: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    """A layer of an LSTM or a GRU in one direction: each row meets both matrices of weights."""
    return 2 * x[0] * x[1] * (prod(inner) + prod(outer))


def _distances(a: Any, b: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    """A product of rows, each with two more numbers: the square of its length, and one."""
    return 2 * prod(a[:-1]) * b[-2] * (a[-1] + 2)


def _solved(a: Any, b: Any, *rest: Any, left: bool = True, out_shape: Any = None, **options: Any) -> int:
    """Each right side loses the products of the numbers below the diagonal with what is known of its solution."""
    return prod(a[:-1]) * (a[-1] - 1) * (b[-1] if left else b[-2])


def faults() -> dict[Any, Callable[..., int]]:
    """Operations that do matrix products, and that FlopCounterMode prices at nothing."""
    aten = torch.ops.aten
    return {
        aten._grouped_mm: _grouped,
        aten.mv: _matrix_vector,
        aten.dot: _matrix_vector,
        aten.addmv: _added_matrix_vector,
        aten.mkldnn_rnn_layer: _recurrent,
        aten._euclidean_dist: _distances,
        aten.linalg_solve_triangular: _solved,
    }


# ---- timm and torchvision --------------------------------------------------------------------------------------------


def _timm(name: str) -> Call:
    import timm

    net = timm.create_model(name, pretrained=False).eval()
    return net, (torch.rand(1, *net.pretrained_cfg["input_size"]),), {}


def _torchvision(name: str) -> Call:
    import torchvision

    models = torchvision.models
    home = inspect.getmodule(models.get_model_builder(name)).__name__.removeprefix("torchvision.models.").split(".")[0]
    options: dict[str, Any] = {"weights": None}
    if home in ("detection", "segmentation"):
        options["weights_backbone"] = None
    if home == "detection" and not name.startswith("ssd"):
        options |= {"min_size": 240, "max_size": 320}
    if "rcnn" in name:  # roi_align in Python is slow
        options |= {"rpn_post_nms_top_n_test": 30, "box_detections_per_img": 10}
    if home == "quantization":
        options["quantize"] = False
    if "inception" in name or name.endswith("googlenet"):
        options["init_weights"] = False
    net = models.get_model(name, **options).eval()
    if home == "detection":
        return net, ([torch.rand(3, 240, 320)],), {}
    if home == "optical_flow":
        return net, (torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)), {}
    if home == "video":
        side = 224 if name.startswith(("mvit", "swin", "s3d")) else 112
        return net, (torch.rand(1, 3, 16, side, side),), {}
    side = {"inception_v3": 299, "quantized_inception_v3": 299, "vit_h_14": 224}.get(name, 224)
    return net, (torch.rand(1, 3, side, side),), {}


# ---- one network -----------------------------------------------------------------------------------------------------

BUILD: dict[str, Callable[[str], Call]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": zoo_transformers.small,
}


def ready(package: str) -> None:
    """Import a package; torchvision's operators come first."""
    from torchvision_operators import define

    define()  # transformers imports torchvision, too
    importlib.import_module(package)


def names(package: str) -> list[str]:
    """The networks of a package: of timm the first one of each family and every ninth."""
    ready(package)
    module = importlib.import_module(package)
    if package == "torchvision":
        return [str(each) for each in module.models.list_models()]
    if package == "transformers":
        mapping = importlib.import_module("transformers.models.auto.modeling_auto").MODEL_MAPPING_NAMES
        return list(mapping)
    every = module.list_models()
    first = [models[0] for family in module.list_modules() if (models := module.list_models(module=family))]
    return sorted({*first, *every[::9]})


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(package: str, name: str) -> Result:
    """Build a network, count it, and let torch's counter count it."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    start = time.perf_counter()

    def result(outcome: str, why: str = "", flops: int = 0, with_values: bool = False) -> Result:
        return Result(package, name, outcome, why, flops, with_values, round(time.perf_counter() - start, 1))

    try:
        with _at_most(SECONDS):
            ready(package)
            return result(*_compared(package, name))
    except NotBuilt as error:
        return result("not built", str(error))
    except Exception as error:
        return result("refused", said(error))


def _compared(package: str, name: str) -> tuple[str, str, int, bool]:
    """The outcome, the reason, the FLOPs, and True where the count needed values."""
    build, values = BUILD[package], package == "transformers"
    if values:
        net, args, options = build(name)
    else:
        with WithoutMemory():
            net, args, options = build(name)
    try:
        counted = costmodel.count(net, *args, **options)
        reads = any("it ran with values" in note for note in counted.notes)
    except ReadsValues:
        reads = True
    if reads:
        if not values:
            net, args, options = build(name)
        values = True
        counted = costmodel.count(net, *args, real=True, **options)
    ours = int(counted.flops("torch"))
    if counted.uncounted:
        return "different", f"without a rule: {', '.join(list(counted.uncounted)[:3])}", ours, reads
    try:
        theirs, _ = _by_torch(net, args, options, values, {})
        told, seen = _by_torch(net, args, options, values, rules := faults()) if ours != theirs else (theirs, set())
    except Exception as error:
        return "different", f"FlopCounterMode raises {said(error)}", ours, reads
    if ours == theirs:
        return "exact", "", ours, reads
    if ours == told:
        lacks = ", ".join(sorted(str(each) for each in rules if each in seen))
        return "exact", f"FlopCounterMode has no rule for {lacks}", ours, reads
    return "different", f"{ours} here, {theirs} by FlopCounterMode, {told} with more rules", ours, reads


def _by_torch(net: Any, args: Any, options: Any, values: bool, rules: Any) -> tuple[int, set[Any]]:
    """FLOPs by FlopCounterMode, told more rules, and the operations that it priced; attention and transformer layers
    run in their plain kernels."""
    counter: Any = FlopCounterMode(display=False, custom_mapping=rules)
    torch.backends.mha.set_fastpath_enabled(False)
    net.requires_grad_(False)  # it follows gradients of what no_grad made, and fails
    with torch.random.fork_rng(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), ExitStack() as stack:
        torch.manual_seed(0)
        if not values:
            stack.enter_context(WithoutMemory())
        stack.enter_context(counter)
        net(*args, **options)
    return int(counter.get_total_flops()), set(counter.get_flop_counts()["Global"])


# ---- all of them -----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", metavar="|".join(PACKAGES))
    parser.add_argument("--sample", action="store_true", help=f"a fixed list of {sum(map(_sampled, PACKAGES))}")
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    given = parser.parse_args()
    packages = given.packages or list(PACKAGES)
    if unknown := sorted({*packages} - {*PACKAGES}):
        parser.error(f"unknown package {unknown[0]!r}: one of {', '.join(PACKAGES)}")
    work = []
    for package in packages:
        listed = SAMPLE[package].split() if given.sample else given.only.split(",") if given.only else names(package)
        work += [(package, name) for name in listed]
    results: list[Result] = []
    with ProcessPoolExecutor(given.workers) as pool:
        for future in as_completed([pool.submit(tried, *each) for each in work]):
            each = future.result()
            results.append(each)
            said = " ".join([each.outcome, "with values" * each.with_values, each.why]).strip()
            print(
                f"{len(results)}/{len(work)} {each.package} {each.name}: {said} ({each.seconds} s)",
                file=sys.stderr,
                flush=True,
            )
    if given.format == "json":
        print(json.dumps([asdict(each) for each in results], indent=1))
    else:
        print("\n".join(_table(results, packages)))
    return int(any(each.outcome != "exact" for each in results)) if given.sample else 0


def _sampled(package: str) -> int:
    return len(SAMPLE[package].split())


def _table(results: list[Result], packages: list[str]) -> Iterator[str]:
    yield f"{'package':14}{'tried':>7}{'counted':>9}{'exact':>7}{'values':>8}{'refused':>9}{'not built':>11}"
    for package in packages:
        rows = [each for each in results if each.package == package]
        outcomes = Counter(each.outcome for each in rows)
        counted = outcomes["exact"] + outcomes["different"]
        values = sum(each.with_values for each in rows)
        yield (
            f"{package:14}{len(rows) - outcomes['not built']:7}{counted:9}{outcomes['exact']:7}{values:8}"
            f"{outcomes['refused']:9}{outcomes['not built']:11}"
        )
    for outcome in ("refused", "different", "not built"):
        for each in sorted((each for each in results if each.outcome == outcome), key=lambda each: each.name):
            yield f"{outcome}: {each.package} {each.name}: {each.why}"
    for why, number in Counter(each.why for each in results if each.outcome == "exact" and each.why).most_common():
        yield f"exact, but {why}: {number}"


if __name__ == "__main__":
    sys.exit(main())
