"""Printed times and accuracies of low-latency video segmentation by key frames.

Times in ms. ``stated``: printed; ``derived``: by arithmetic from printed times.
"""

from dataclasses import dataclass
from types import MappingProxyType

SOURCES = MappingProxyType(
    {
        "adaptive": "Y. Li, J. Shi, D. Lin: Low-Latency Video Semantic Segmentation, CVPR 2018",
        "clockwork": "E. Shelhamer et al.: Clockwork Convnets for Video Semantic Segmentation, ECCV Workshops 2016",
        "dff": "X. Zhu et al.: Deep Feature Flow for Video Recognition, CVPR 2017",
        "netwarp": "R. Gadde et al.: Semantic Video CNNs through Representation Warping, ICCV 2017",
        "pearl": "X. Jin et al.: Video Scene Parsing with Predictive Feature Learning, ICCV 2017",
        "pspnet": "H. Zhao et al.: Pyramid Scene Parsing Network, CVPR 2017",
        "deeplab": "L.-C. Chen et al.: DeepLab, TPAMI 2018",
    }
)

# The times of the stages of the adaptive network.
FULL, HIGH, PROPAGATE, FRONT = 360, 299, 38, 119  # stated
LOW = FULL - HIGH  # derived: 61
SELECT = FRONT - LOW - PROPAGATE  # derived: 20
INTERVAL = 5  # frames, of the times and of the accuracies

# Printed for different modes: the average is sequential, the latency parallel.
SEQUENTIAL_AVERAGE = 171
PARALLEL_LATENCY = 119

# For the example costs of components: channels of the low and high features, their stride, and the frame.
LOW_CHANNELS, HIGH_CHANNELS, STRIDE, SIZE = 1024, 2048, 8, (1024, 2048)


@dataclass(frozen=True)
class Accuracy:
    """mIoU in % on Cityscapes with a key frame every `INTERVAL` frames, as the authors of ``adaptive`` compare them."""

    method: str
    miou: float
    source: str = "adaptive"


ACCURACIES = (
    Accuracy("clockwork", 56.53),
    Accuracy("optical flow (DFF)", 69.2),
    Accuracy("unified propagation", 58.73),
    Accuracy("weight by image difference", 60.12),
    Accuracy("adaptive propagation, not fused", 68.41),
    Accuracy("adaptive propagation, fused with low features", 75.26),
)


@dataclass(frozen=True)
class FlowRun:
    """A detection run of Deep Feature Flow: ms per frame, of the whole network and the average over ``length``."""

    machine: str
    full: float
    average: float
    length: int = 10


FLOW_RUNS = (FlowRun("K40", 271, 73), FlowRun("Titan X", 133, 34))

# Algebra of methods whose sources print no times of stages.
WITHOUT_TIMES = MappingProxyType(
    {
        "clockwork": ("Clockwork", "sum of c_s/n_s over stages s", "sum of c_s"),
        "netwarp": ("NetWarp", "c_full + warp", "c_full + warp"),
        "pearl": ("PEARL", "c_full + prediction branch", "c_full + prediction branch"),
        "pspnet": ("PSPNet", "c_full", "c_full"),
        "deeplab": ("DeepLab", "c_full", "c_full"),
    }
)
