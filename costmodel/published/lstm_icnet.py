"""The numbers and equations of the paper that this package compares with, and their errata.

A. Pfeuffer, K. Dietmayer: Separable Convolutional LSTMs for Faster Video Segmentation, 2019 (arXiv 1907.06876).
Typed once, for comparison: nothing here is an input to a result.
"""

from dataclasses import dataclass
from types import MappingProxyType

from costmodel.published import Metric, PrintedTable
from costmodel.published.errata import OF_LSTM_ICNET

# Table IV was counted on these settings.
SIZE = (1024, 2048)
KERNEL = (3, 3)
CHANNELS = (128, 128)  # of every cell
CLASSES = 19
CONVENTION = "tf-profiler"


@dataclass(frozen=True)
class Machine:
    name: str
    device: str


CPU = Machine("Intel Core i5-6300U", "cpu")
GPU = Machine("NVIDIA TITAN X", "cuda")


@dataclass(frozen=True)
class Row:
    """One printed row of Table IV; percentages refer to the standard row of the same network."""

    approach: str
    params_k: int
    params_pct: float
    gflops: float
    flops_pct: float
    cpu_ms: float
    cpu_pct: float
    gpu_ms: float
    gpu_pct: float


_TABLE_IV = (
    Row("ICNet", 6707, 100.00, 58.38, 100.00, 1388, 100.00, 48.19, 100.00),
    Row("LSTM-ICNet v2", 7887, 100.00, 135.74, 100.00, 2503, 100.00, 65.01, 100.00),
    Row("spatial-LSTM-ICNet v2", 7494, 95.02, 109.97, 81.01, 2265, 90.47, 68.15, 104.83),
    Row("depth-LSTM-ICNet v2", 6717, 85.17, 59.03, 43.49, 1616, 64.56, 60.62, 93.24),
    Row("sep-LSTM-ICNet v2", 6848, 86.83, 67.62, 49.82, 1734, 69.26, 62.18, 95.65),
    Row("LSTM-ICNet v5", 10247, 100.00, 173.98, 100.00, 2967, 100.00, 69.64, 100.00),
    Row("spatial-LSTM-ICNet v5", 9068, 88.49, 135.4, 77.87, 2565, 86.45, 74.82, 107.43),
    Row("depth-LSTM-ICNet v5", 6736, 65.74, 59.36, 34.12, 1664, 56.07, 62.65, 89.96),
    Row("sep-LSTM-ICNet v5", 7129, 69.57, 72.20, 41.50, 1828, 61.61, 65.08, 93.46),
    Row("LSTM-ICNet v6", 11428, 100.00, 251.34, 100.00, 4125, 100.00, 80.16, 100.00),
    Row("spatial-LSTM-ICNet v6", 9855, 86.24, 187.07, 74.43, 3403, 82.49, 88.08, 109.87),
    Row("depth-LSTM-ICNet v6", 6746, 59.03, 60.02, 23.88, 1879, 45.55, 68.60, 85.57),
    Row("sep-LSTM-ICNet v6", 7270, 63.62, 81.44, 32.40, 2127, 51.55, 72.68, 90.66),
)
TABLE_IV = MappingProxyType({row.approach: row for row in _TABLE_IV})


# Approach; Table II, Cityscapes: accuracy, mIoU (%), mFIP (per mille); Table III, Virtual KITTI: accuracy, mIoU, mFP.
_QUALITY: tuple[tuple[str, float, float, float, float, float, float], ...] = (
    ("ICNet", 92.50, 60.07, 64.42, 92.60, 58.44, 54.42),
    ("LSTM-ICNet v2", 92.96, 61.93, 62.67, 93.01, 59.71, 51.55),
    ("spatial-LSTM-ICNet v2", 92.80, 61.70, 63.26, 92.89, 59.55, 51.33),
    ("depth-LSTM-ICNet v2", 92.56, 61.73, 61.17, 92.86, 59.77, 51.70),
    ("sep-LSTM-ICNet v2", 92.47, 60.18, 59.77, 92.68, 58.72, 52.16),
    ("LSTM-ICNet v5", 92.74, 61.53, 62.67, 92.96, 60.19, 51.66),
    ("spatial-LSTM-ICNet v5", 92.59, 61.56, 62.80, 93.02, 60.37, 51.27),
    ("depth-LSTM-ICNet v5", 92.52, 60.67, 61.33, 92.56, 59.09, 52.56),
    ("sep-LSTM-ICNet v5", 92.54, 60.98, 59.74, 92.57, 58.67, 52.22),
    ("LSTM-ICNet v6", 92.69, 61.39, 64.13, 93.07, 60.50, 50.90),
    ("spatial-LSTM-ICNet v6", 92.79, 60.90, 63.05, 92.99, 60.54, 51.10),
    ("depth-LSTM-ICNet v6", 92.30, 60.93, 61.27, 92.53, 59.03, 53.52),
    ("sep-LSTM-ICNet v6", 92.42, 60.78, 59.72, 92.64, 58.85, 52.99),
)
_ACCURACY, _MIOU = ("pixel accuracy", "%", True), ("mIoU", "%", True)
_COLUMNS = (
    ("cityscapes-acc", "Table II", *_ACCURACY),
    ("cityscapes-miou", "Table II", *_MIOU),
    ("cityscapes-mfip", "Table II", "mFIP", "per mille", False),
    ("vkitti-acc", "Table III", *_ACCURACY),
    ("vkitti-miou", "Table III", *_MIOU),
    ("vkitti-mfp", "Table III", "mFP", "per mille", False),
)
DATASETS = MappingProxyType({"cityscapes": "Cityscapes", "vkitti": "Virtual KITTI"})
QUALITY = MappingProxyType(
    {
        name: Metric(
            place, f"{label} on {DATASETS[name.split('-')[0]]}", unit, more_is_better, MappingProxyType(values)
        )
        for number, (name, place, label, unit, more_is_better) in enumerate(_COLUMNS, 1)
        for values in [{row[0]: float(row[number]) for row in _QUALITY}]
    }
)


@dataclass(frozen=True)
class Equation:
    """The printed cost of one cell, in Python syntax."""

    number: str
    cost: str
    errata: tuple[str, ...]  # keys of `ERRATA`
    ratio_number: str | None = None
    ratio: str | None = None  # to the standard cell, erratum (5) corrected
    approximation: str | None = None  # of the ratio
    percentage: str | None = None  # of the ratio in the text, at Kx = Ky = 3, I = O = 128
    ratio_errata: tuple[str, ...] = ()


EQUATIONS = MappingProxyType(
    {
        "standard": Equation("(2)", "(16*Kx*Ky*I + 37)*O*Dx*Dy", ("I for all",)),
        "spatial": Equation(
            "(4)",
            "(32*Kx*I + 37)*O*Dx*Dy",
            ("I for all",),
            "(5)",
            "(32*Kx*I + 37)/(16*Kx*Kx*I + 37)",
            "2/Kx",
            "66.73",
            ("(5)", "66.73"),
        ),
        "depth": Equation(
            "(7)",
            "(16*Kx*Ky + 37)*O*Dx*Dy",
            (),
            "(8)",
            "(16*Kx*Ky + 37)/(16*Kx*Ky*I + 37)",
            "1/I",
            "0.98",
        ),
        "sep": Equation(
            "(10)",
            "(16*Kx*Ky + 16*I + 37)*O*Dx*Dy",
            ("I for all",),
            "(11)",
            "(16*Kx*Ky + 16*I + 37)/(16*Kx*Ky*I + 37)",
            "1/I + 1/(Kx*Ky)",
            "12.1",
        ),
    }
)

# The printed rows of Table I: operation, total, FLOPs per O Dx Dy.
TABLE_I = (
    ("Convolutions", 8, "8*2*Kx*Ky*I"),
    ("Hadamard Product", 3, "3"),
    ("Sigma Operation", 3, "3*5"),
    ("TanH Operation", 2, "2*5"),
    ("Additions", 9, "9"),
)


ERRATA = MappingProxyType(OF_LSTM_ICNET)
TABLE = PrintedTable(
    place="Table IV",
    size=SIZE,
    kernel=KERNEL,
    classes=CLASSES,
    heads=True,
    convention=CONVENTION,
    rows=TABLE_IV,
    digits=2,
    thousands=True,
    errata=ERRATA,
    remarks=tuple(ERRATA[key].remark for key in ("truncated", "training")),
)


@dataclass(frozen=True)
class Claim:
    """A statement of the paper about the time of a cell relative to the standard cell."""

    place: str
    text: str
    device: str
    network: str | None  # None: a single cell
    kernel: tuple[int, int]
    cell: str
    ratio: tuple[float, float]  # the range that the words allow
    printed: float | None = None  # the percentage in Table IV


_FASTER, _SLOWER, _HALF = (0.0, 1.0), (1.0, float("inf")), (0.35, 0.65)
CLAIMS = (
    Claim("Sec. V-D", "depth about halves v6 (35 to 65 %)", "cpu", "v6", KERNEL, "depth", _HALF, 45.55),
    Claim("Sec. V-D", "sep about halves v6 (35 to 65 %)", "cpu", "v6", KERNEL, "sep", _HALF, 51.55),
    *(
        Claim("Table IV", f"spatial {version} is faster on a CPU", "cpu", version, KERNEL, "spatial", _FASTER, printed)
        for version, printed in (("v2", 90.47), ("v5", 86.45), ("v6", 82.49))
    ),
    *(
        Claim("Sec. V-D", f"spatial {version} is slower at K = 3", "cuda", version, KERNEL, "spatial", _SLOWER, printed)
        for version, printed in (("v2", 104.83), ("v5", 107.43), ("v6", 109.87))
    ),
    *(
        Claim("Sec. V-D", f"{cell} v6 is faster on a GPU", "cuda", "v6", KERNEL, cell, _FASTER, printed)
        for cell, printed in (("depth", 85.57), ("sep", 90.66))
    ),
    Claim("Sec. V-D", "the spatial cell is slower at K = 3", "cuda", None, KERNEL, "spatial", _SLOWER),
    *(
        Claim("Sec. V-D", f"the spatial cell is faster again at K = {k}", "cuda", None, (k, k), "spatial", _FASTER)
        for k in (5, 7)
    ),
)
