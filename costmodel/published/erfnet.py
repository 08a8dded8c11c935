"""The printed numbers of ERFNet and its variants, and their errata.

E. Romera, J. M. Alvarez, L. M. Bergasa, R. Arroyo: ERFNet, IEEE Transactions on Intelligent Transportation Systems
2018.
N. Vallurupalli, S. Annamaneni, G. Varma, C. V. Jawahar, M. Mathew, S. Nagori: Efficient Semantic Segmentation Using
Gradual Grouping, CVPR Workshops 2018 (the tables below are from this paper and lack some of its rows).
"""

from dataclasses import dataclass
from types import MappingProxyType

from costmodel.published import Metric, PrintedTable
from costmodel.published.errata import OF_ERFNET


@dataclass(frozen=True)
class Row:
    """Parameters, GFLOPs (one per multiply-accumulate) at 512x1024, IoU on Cityscapes in %."""

    approach: str
    params: int
    gflops: float
    iou: float


_ROWS = (
    Row("ERFNet", 2_038_448, 27.705, 70.45),
    Row("D*", 547_120, 10.597, 68.55),
    Row("DG2*", 395_568, 8.852, 65.35),
    Row("DG2S*", 395_568, 8.852, 65.36),
    Row("DG4*", 319_792, 7.980, 61.42),
    Row("DG4S*", 319_792, 7.980, 61.27),
    Row("D", 1_291_648, 19.025, 69.26),
    Row("DG2", 1_238_960, 18.998, 69.71),
    Row("DG2S", 1_238_960, 18.998, 70.62),
    Row("DG4", 1_202_096, 18.595, 68.98),
    Row("DG4S", 1_202_096, 18.595, 69.59),
    Row("D*-proposed", 431_312, 5.773, 68.39),
    Row("DG2*-proposed", 279_760, 4.029, 66.10),
)
TABLE = PrintedTable(
    place="the tables of Efficient Semantic Segmentation Using Gradual Grouping",
    size=(512, 1024),
    kernel=(3, 3),
    classes=20,
    heads=False,
    convention="erfnet",
    rows=MappingProxyType({row.approach: row for row in _ROWS}),
    digits=3,
    thousands=False,
    errata=MappingProxyType(OF_ERFNET),
    remarks=(
        "They count one block in each stage of the decoder, where they describe two, and down-samplers as whole "
        "convolutions: decoder_blocks 1; 2 is the network as described.",
    ),
    options=MappingProxyType({"decoder_blocks": 1}),
)

QUALITY = MappingProxyType(
    {
        "erfnet-iou": Metric(
            "the tables",
            "IoU on Cityscapes",
            "%",
            True,
            MappingProxyType({row.approach: row.iou for row in _ROWS}),
        )
    }
)
