"""torchvision's own operators in plain Python, for a torch that its compiled ones were not built for.

The compiled operators of a wheel need the very build of torch that they were made with, and do not load beside another,
such as a CPU build. ``define()`` before the first import of torchvision declares all of them; those that its networks
call have kernels here. The others have none: torch then says that a kernel is missing.
"""

import importlib
import sys
from typing import Any

import torch

SCHEMAS = """
nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor
roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio,
 bool aligned) -> Tensor
qroi_align(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, int rois_zero_point,
 float spatial_scale, int pooled_height, int pooled_width, int sampling_ratio, bool aligned) -> Tensor
_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,
 SymInt batch_size, SymInt channels, SymInt height, SymInt width, int sampling_ratio, bool aligned) -> Tensor
roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) -> (Tensor, Tensor)
_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, SymInt pooled_height,
 SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width) -> Tensor
ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,
 int sampling_ratio) -> (Tensor, Tensor)
_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, SymInt pooled_height,
 SymInt pooled_width, int sampling_ratio, SymInt batch_size, SymInt channels, SymInt height, SymInt width) -> Tensor
ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width)
 -> (Tensor, Tensor)
_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, SymInt pooled_height,
 SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width) -> Tensor
deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w,
 SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask)
 -> Tensor
_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias,
 SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups,
 SymInt offset_groups, bool use_mask) -> (Tensor, Tensor, Tensor, Tensor, Tensor)
_cuda_version() -> int
"""


def define() -> None:
    """Declare the operators, and let torchvision take them for its compiled ones."""
    if "torchvision" in sys.modules:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # `_KEPT`: its operators go with it
    _KEPT.append(library)
    for schema in SCHEMAS.replace("\n ", " ").split("\n"):
        if schema:
            library.define(schema)
    library.impl("nms", _nms, "CPU")
    library.impl("roi_align", _roi_align, "CPU")
    library.impl("_cuda_version", lambda: -1, "CompositeExplicitAutograd")
    load = torch.ops.load_library
    torch.ops.load_library = lambda path: None if "torchvision" in str(path) else load(path)  # type: ignore[method-assign]
    try:
        importlib.import_module("torchvision.extension")
    finally:
        torch.ops.load_library = load  # type: ignore[method-assign]


_KEPT: list[Any] = []


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of the boxes that overlap no better one by more than the threshold, best first."""
    low, high = boxes[:, :2], boxes[:, 2:]
    area = (high - low).prod(1)
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        sides = torch.minimum(high[best], high[left]) - torch.maximum(low[best], low[left])
        shared = sides.clamp(min=0).prod(1)
        left = left[shared <= iou_threshold * (area[best] + area[left] - shared)]
    return torch.stack(kept) if kept else scores.new_empty(0, dtype=torch.long)


def _roi_align(
    maps: torch.Tensor, boxes: torch.Tensor, scale: float, height: int, width: int, samples: int, aligned: bool
) -> torch.Tensor:
    """Averages of bilinear samples in a grid of ``height`` by ``width`` bins a box; torchvision writes it in Python."""
    return importlib.import_module("torchvision.ops.roi_align")._roi_align(  # type: ignore[no-any-return]
        maps, boxes, scale, height, width, samples, aligned
    )
