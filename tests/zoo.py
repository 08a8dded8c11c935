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
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from math import prod
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import costmodel
from costmodel.counting.call import ReadsValues
from costmodel.counting.shadow import WithoutMemory

PACKAGES = ("timm", "torchvision", "transformers")
SECONDS, SEARCH = 120, 20  # of one network, and of the search for a call of it
MOST_PARAMETERS = 100 << 20  # of a network with values

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


class NotBuilt(Exception):
    """No network of this name, or no inputs that it takes."""


Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


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


# ---- transformers ----------------------------------------------------------------------------------------------------

WIDE = dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_size", "dim", "d_latents", "projection_dim"), 32)
WIDE |= dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "ffn_dim", "n_inner"), 64)
WIDE |= dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32)
HEADS = dict.fromkeys(
    ("num_attention_heads", "encoder_attention_heads", "decoder_attention_heads", "n_head", "num_heads", "n_heads"), 4
)
HEADS["rotary_dim"] = 8
FEW_KEYS = {"num_key_value_heads": 2, "head_dim": 8, "d_kv": 8}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
LATENT |= {"num_key_value_heads": 4, "head_dim": 8, "index_head_dim": 16, "index_n_heads": 4}
SCANS = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_num_heads": 4, "mamba_head_dim": 16}
EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4)
EXPERTS |= dict.fromkeys(("num_experts_per_tok", "moe_topk"), 2) | dict.fromkeys(("n_group", "topk_group"), 1)
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
          "num_encoder_layers", "num_decoder_layers", "depth")  # fmt: skip
WORDS = 120
NO_SIZES: dict[str, int] = {}
# Settings that are made smaller, and whether words and layers are made fewer: the first that give a network are taken.
SHRINKS: tuple[tuple[dict[str, int], bool, bool], ...] = (
    (WIDE | HEADS | FEW_KEYS | SCANS | EXPERTS, True, True),
    (WIDE | HEADS | LATENT | EXPERTS, True, True),
    (WIDE | HEADS | FEW_KEYS | EXPERTS, False, True),
    (WIDE | HEADS, False, True),
    (EXPERTS, False, True),
    (NO_SIZES, False, True),
    (NO_SIZES, False, False),
)
# What a kind of network needs to be told.
TOLD: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "autoformer": {"prediction_length": 8},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "informer": {"prediction_length": 8},
    "time_series_transformer": {"prediction_length": 8},
}


def _smaller(base: Any, sizes: dict[str, int], few_words: bool, few_layers: bool, **told: Any) -> Any:
    """A configuration like this one with smaller settings; those in it as well."""
    given: dict[str, Any] = dict(told)
    settings = {name: value for name, value in vars(base).items() if not name.startswith("_")}
    for name, value in settings.items():
        if isinstance(value, int) and not isinstance(value, bool):
            if name in sizes and value > sizes[name]:
                given[name] = sizes[name]
            elif few_words and name == "vocab_size" and value > WORDS:
                given[name] = WORDS
    if few_layers:
        given |= _few_layers(settings)
    if sizes and isinstance(rotary := settings.get("rope_parameters"), dict):
        part = rotary.get("partial_rotary_factor") or settings.get("partial_rotary_factor") or 1
        pairs = int(8 * part) // 2
        given["rope_parameters"] = {**rotary, "mrope_section": [pairs - 2 * (pairs // 4), pairs // 4, pairs // 4]}
    if sizes and settings.get("head_dim", 0) is None:
        given["head_dim"] = sizes.get("head_dim")
    if few_words:
        for place, (name, value) in enumerate(sorted(settings.items())):
            if re.search(r"_token_(id|index)$", name) and isinstance(value, int) and value >= WORDS:
                given[name] = 3 + place % 30
    for name, part in settings.items():
        if hasattr(part, "model_type") and hasattr(part, "to_dict"):
            given[name] = _smaller(part, sizes, few_words, few_layers)
    if not given:
        return base
    own = getattr(type(base)(), "__dict__", {})
    other = {
        name: value
        for name, value in settings.items()
        if name in own and value != own[name] and name not in ("transformers_version", "dtype", "architectures")
    }
    try:
        return type(base)(**{**other, **given})
    except Exception:
        return type(base)(**told)


def _few_layers(settings: dict[str, Any]) -> dict[str, Any]:
    """Two layers, or as many as show each kind of layer; and lists of them as long."""
    given: dict[str, Any] = {}
    for name in LAYERS:
        whole = settings.get(name)
        if not isinstance(whole, int) or whole <= 2:
            continue
        lists = {
            key: value
            for key, value in settings.items()
            if isinstance(value, list) and len(value) == whole and all(isinstance(each, str | int) for each in value)
        }
        few = max([2, *(max(map(each.index, set(each))) + 1 for each in lists.values() if len(set(each)) < 5)])
        given |= {name: few} | {key: value[:few] for key, value in lists.items()}
    return given


def _side(config: Any, *names: str, otherwise: Any) -> Any:
    """A setting of the configuration, or of one in it."""
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))]
    for part in parts:
        for name in names:
            if (value := getattr(part, name, None)) is not None:
                return value
    return otherwise


def _calls(config: Any, net: Any) -> Iterator[dict[str, Any]]:
    """Inputs that such a network may take, the fullest first."""
    takes = inspect.signature(net.forward).parameters
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())

    def known(given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if name in takes or (open_ended and name == "input_ids")}

    words = torch.arange(24).reshape(2, 12) * 7 % 80 + 35
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 9:] = 0
    text: dict[str, Any] = {"input_ids": words, "attention_mask": mask, "decoder_input_ids": words[:, :6]}
    text = known(text | {"bbox": torch.ones(2, 12, 4, dtype=torch.long)})
    decoder = known({"decoder_input_ids": words[:, :6]})
    wide = _side(config, "hidden_size", "d_model", otherwise=32)
    for place, each in enumerate(chain(_pictures(config, takes), _sounds(config, takes))):
        if "input_ids" in takes:
            yield text | each
            if place == 1:
                yield text
        yield known(each | decoder)
    if "past_values" in takes:
        yield from map(known, _series(config))
    if "query_embeds" in takes:
        other = torch.randn(2, 9, _side(config, "encoder_hidden_size", otherwise=wide))
        yield known({"query_embeds": torch.randn(2, 8, wide), "encoder_hidden_states": other})
    if "returns_to_go" in takes:
        rows = torch.randn(2, 12, 1)
        moves = {"states": torch.randn(2, 12, config.state_dim), "actions": torch.randn(2, 12, config.act_dim)}
        yield moves | {"rewards": rows, "returns_to_go": rows, "timesteps": words % 12, "attention_mask": mask}
    yield text
    yield {name: value for name, value in text.items() if name != "attention_mask"}
    yield text | known({"use_cache": False})
    yield {"input_ids": words[:1, :8]}
    for name in ("inputs_embeds", "hidden_states"):
        if name in takes:
            yield known({name: torch.randn(2, 12, wide), "attention_mask": mask})
    if "inputs" in takes:
        yield {"inputs": words}
        yield {"inputs": torch.randn(1, 16, wide)}


def _pictures(config: Any, takes: Any) -> Iterator[dict[str, Any]]:
    channels = _side(config, "num_channels", "in_channels", "in_chans", otherwise=3)
    channels = channels if isinstance(channels, int) else 3
    if "grid_thw" in takes or "image_grid_thw" in takes:
        patch = _side(config, "patch_size", otherwise=14)
        numbers = channels * _side(config, "temporal_patch_size", otherwise=1) * patch * patch
        for name in ("pixel_values", "hidden_states"):
            if name in takes and "grid_thw" in takes:
                yield {name: torch.randn(32, numbers), "grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]])}
    if "pixel_values" not in takes and "pixel_values_videos" not in takes:
        return
    side = _side(config, "image_size", "img_size", "input_size", otherwise=64)
    sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
    sides = sides[-2:] if all(isinstance(each, int) for each in sides) and len(sides) > 1 else (64, 64)
    known = [each for each in dict.fromkeys([sides, (64, 64), (224, 224), (384, 384)]) if each[0] * each[1] <= 1 << 20]
    if "pixel_values" in takes:
        for height, width in known:
            image = torch.randn(2, channels, height, width)
            yield {"pixel_values": image}
            yield {"pixel_values": image[:1]}
            more = {"pixel_mask": torch.ones(2, height, width, dtype=torch.long)}
            yield {"pixel_values": image, "task_inputs": torch.ones(2, 77, dtype=torch.long)} | more
    for name in ("pixel_values", "pixel_values_videos"):
        for frames in dict.fromkeys((_side(config, "num_frames", "frames_per_clip", otherwise=8), 16)):
            if name in takes:
                clip = torch.randn(1, frames, channels, *sides)
                yield {name: clip}
                yield {name: clip.transpose(1, 2)}


def _sounds(config: Any, takes: Any) -> Iterator[dict[str, Any]]:
    mels = _side(config, "num_mel_bins", "input_feat_per_channel", "feature_size", "num_mel_channels", otherwise=80)
    longest = _side(config, "max_length", "spec_size", otherwise=256)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "input_values": [(2, 8000), (2, 1, 8000), (2, longest, mels), (2, 200, mels), (2, 1, 256, mels)],
        "input_features": [
            (2, mels, 3000), (2, mels, 200), (2, 200, mels), (2, 200, 2 * mels), (2, 1, 1001, 64), (2, 1, 256, 256)
        ],
        "audio_values": [(2, 1, 1024, 128)],
    }  # fmt: skip
    for name in shapes:
        for shape in shapes[name] if name in takes else ():
            sound = {name: torch.randn(shape)}
            mask = torch.ones(2, max(shape[1:]), dtype=torch.long)
            mask[1, max(shape[1:]) * 3 // 4 :] = 0
            for masked in ("attention_mask", "padding_mask", "input_features_mask", "feature_attention_mask"):
                if masked in takes:
                    yield sound | {masked: mask}
            yield sound
            if len(shape) == 4:
                yield sound | {"is_longer": torch.tensor([[True], [False]])}


def _series(config: Any) -> Iterator[dict[str, Any]]:
    past = _side(config, "context_length", otherwise=64)
    lags = max(getattr(config, "lags_sequence", None) or [0])
    series = _side(config, "num_input_channels", "input_size", otherwise=1)
    for shape in ((2, past + lags), (2, past, series), (2, past + lags, series), (2, past)):
        values = {"past_values": torch.randn(shape), "past_observed_mask": torch.ones(shape)}
        if hasattr(config, "num_time_features"):
            more = config.num_time_features
            yield values | {
                "past_time_features": torch.randn(2, past + lags, more),
                "future_values": torch.randn(2, config.prediction_length),
                "future_time_features": torch.randn(2, config.prediction_length, more),
            }
        yield values


def _transformers(name: str) -> Call:
    import transformers

    transformers.logging.set_verbosity_error()
    base = transformers.CONFIG_MAPPING[name](**TOLD.get(name, {}))
    told, built, start = "no configuration", 0, time.perf_counter()
    for sizes, few_words, few_layers in SHRINKS:
        try:
            config = _smaller(base, sizes, few_words, few_layers, **TOLD.get(name, {}))
            with torch.device("meta"):
                net = transformers.AutoModel.from_config(config)
        except Exception as error:
            told = _said(error)
            continue
        if (size := sum(each.numel() for each in net.parameters())) > MOST_PARAMETERS:
            told = f"{size} parameters" if told.startswith("no ") else told
            continue
        try:
            torch.manual_seed(0)
            net = transformers.AutoModel.from_config(config).eval()
        except Exception as error:
            told = _said(error)
            continue
        built += 1
        for given in _calls(config, net):
            if time.perf_counter() - start > SEARCH:
                raise NotBuilt(told)
            try:
                with torch.no_grad():
                    net(**given)
            except Exception as error:
                told = f"{'+'.join(given)}: {_said(error)}"
                continue
            return net, (), given
        if built > 3:
            break
    raise NotBuilt(told)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:220]}"


# ---- one network -----------------------------------------------------------------------------------------------------

BUILD: dict[str, Callable[[str], Call]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": _transformers,
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
        return result("refused", _said(error))


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
        return "different", f"FlopCounterMode raises {_said(error)}", ours, reads
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
