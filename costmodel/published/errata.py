"""The errata of the papers, numbered, each with the arithmetic that shows it; the tests compute it again."""

from collections.abc import Iterable
from dataclasses import dataclass

LSTM_ICNET = "A. Pfeuffer, K. Dietmayer: Separable Convolutional LSTMs for Faster Video Segmentation, 2019"
ERFNET = "N. Vallurupalli et al.: Efficient Semantic Segmentation Using Gradual Grouping, CVPR Workshops 2018"


@dataclass(frozen=True)
class Erratum:
    """An error in a paper. ``printed`` continues the sentence that ``place`` begins."""

    number: int
    paper: str
    place: str
    printed: str
    right: str
    arithmetic: str  # a sentence
    check: str  # a command that shows it

    @property
    def text(self) -> str:
        """The error and the arithmetic, without the place."""
        return f"{self.printed}. {self.arithmetic}"

    @property
    def remark(self) -> str:
        """One sentence, for the notes of a table that the erratum is about as a whole."""
        return f"{self.place} {self.printed}."


def _numbered(first: int, paper: str, errata: Iterable[tuple[str, str, str, str, str, str]]) -> dict[str, Erratum]:
    return {key: Erratum(number, paper, *rest) for number, (key, *rest) in enumerate(errata, first)}


# Key, place, printed, right, arithmetic, check.
OF_LSTM_ICNET = _numbered(
    1,
    LSTM_ICNET,
    (
        (
            "spatial-LSTM-ICNet v5",
            "Table IV, spatial-LSTM-ICNet v5",
            'prints "135.4": a digit is lost',
            "135.47",
            "Its own 77.87 % of 173.98 needs 135.47 to 135.49.",
            "costmodel table --model v5 --cell spatial",
        ),
        (
            "(5)",
            "eq. (5)",
            "prints O*O in the denominator",
            "O",
            "12325/(18469*128) = 0.0052; with one O: 12325/18469 = 0.6673, the 66.73 % of the text.",
            "costmodel equation spatial --ratio",
        ),
        (
            "66.73",
            "Sec. III-A",
            'calls 66.73 % a "speed-up": it is the remaining cost',
            "a saving of 33.27 %",
            "1 - 12325/18469 = 33.27 %; 0.98 % and 12.1 % are called cost below, correctly.",
            "costmodel equation spatial --ratio",
        ),
        (
            "I for all",
            "eqs. (2), (4), (10)",
            "write I for all eight convolutions; the four state-to-state ones read O channels",
            "(8*Kx*Ky*(I + O) + 37)*O*Dx*Dy for the standard cell",
            "Exact for I = O alone, where 8*Kx*Ky*(I + O) = 16*Kx*Ky*I.",
            "costmodel equation standard",
        ),
        (
            "truncated",
            "Table IV",
            "truncates parameters to thousands (7,887,737 prints as 7887k)",
            "7888k",
            "GFLOPs are rounded, their percentages are of exact counts, those of parameters of truncated thousands: "
            "7494/7887 = 95.02 %.",
            "costmodel table --model v2 --format json",
        ),
        (
            "training",
            "Table IV",
            "counts training-only parts: two auxiliary heads, random initialisers, batch-norm updates",
            "6,699,987 parameters of ICNet without the heads",
            "ICNet has 6,707,321 parameters with the heads and 7,334 less without them.",
            "costmodel table --no-heads --format json",
        ),
        (
            "1/I",
            "eq. (8)",
            "approximates the ratio by 1/I, without the 37 beside 16*Kx*Ky, which does not vanish for large I",
            "(16*Kx*Ky + 37)/(16*Kx*Ky*I)",
            "At K = 3 the ratio tends to (144 + 37)/144 = 1.26 times 1/I, and 1/128 = 0.78 % stands for 0.98 %.",
            "costmodel equation depth --ratio",
        ),
        (
            "miou",
            "Sec. V-B",
            "gives ICNet a mIoU of 60.2 % on Cityscapes",
            "60.1 %",
            "Table II prints 60.07 %, which rounds to 60.1 %.",
            "costmodel plot quality --metric cityscapes-miou",
        ),
        (
            "18 ms",
            "Sec. III",
            'says that version 2 takes "about 18 ms longer" on a GPU',
            "about 17 ms",
            "By Table IV, 65.01 - 48.19 = 16.82 ms, which is 34.9 % more, as the text says.",
            "costmodel table --model v2 --profile paper",
        ),
        (
            "nand",
            "eqs. (12) to (14)",
            'write NAND where the text ("mismatch") and the figures mean "differs"',
            "inequality of the two maps",
            "0 NAND 0 = 1: a perfect segmentation of a scene that stands still has D = 0 and would flicker at 1000 per "
            "mille.",
            "costmodel flicker --help",
        ),
        (
            "1/T",
            "eqs. (12), (14)",
            "sum over all frame pairs without 1/T",
            "the mean per frame pair",
            "The sum grows with the length of a video; the 50 to 65 per mille of Tables II and III are means per pair.",
            "costmodel flicker --help",
        ),
    ),
)
OF_ERFNET = _numbered(
    len(OF_LSTM_ICNET) + 1,
    ERFNET,
    (
        (
            "D",
            "Row D",
            "prints 1,291,648 parameters and 19.025 GFLOPs and contradicts row DG2",
            "1,312,688 and 19.803",
            "From D to DG2, two groups halve the 2*2*64^2 + 4*2*128^2 = 147,456 weights of the pointwise convolutions: "
            "73,728 parameters and 0.805 GFLOPs less. The printed rows differ by 52,688 and 0.027. By the rules that "
            "reproduce every other row: 1,312,688 and 19.803.",
            "costmodel table --model erfnet",
        ),
    ),
)
ERRATA = (*OF_LSTM_ICNET.values(), *OF_ERFNET.values())
