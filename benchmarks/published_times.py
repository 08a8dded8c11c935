"""The part of the published times of Table IV that work, bytes and launches explain. Times nothing.

    python benchmarks/published_times.py [--format text|json]

For the GPU and for the CPU column: seconds = FLOPs / rate + bytes / bandwidth + launches * seconds of a launch, with
two or three of these machine constants, none negative, by least squares on relative errors. Each of the 13 rows is
predicted by constants from the other 12. FLOPs (two per multiply-accumulate), bytes (every operation reads its inputs
and writes its output, as if no cache held them) and launches are those of the described networks, one frame without
training heads; the paper ran TensorFlow 1, whose kernels nobody has counted.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costmodel.describe.selection import Entry, entries
from costmodel.price.conventions import TORCH
from costmodel.published.lstm_icnet import CPU, GPU, KERNEL, SIZE, TABLE_IV

TERMS = ("FLOPs", "bytes", "launches")
MODELS = (("FLOPs",), ("FLOPs", "bytes"), ("FLOPs", "launches"), ("bytes", "launches"), TERMS)
Floats = NDArray[np.float64]


def constants(amounts: Floats, seconds: Floats) -> Floats:
    """Seconds per unit of each column of ``amounts``, none negative, with the least sum of squares of
    ``predicted / seconds - 1``: of all subsets of the columns, the best one whose solution is positive."""
    relative = amounts / seconds[:, None]
    scale = relative.max(axis=0)
    best, least = np.zeros(amounts.shape[1]), float(len(seconds))  # all zero: each error is -1
    for number in range(1, amounts.shape[1] + 1):
        for chosen in itertools.combinations(range(amounts.shape[1]), number):
            columns = list(chosen)
            found = np.linalg.lstsq(relative[:, columns] / scale[columns], np.ones(len(seconds)), rcond=None)[0]
            squares = float(np.sum((relative[:, columns] @ (found / scale[columns]) - 1) ** 2))
            if found.min() > 0 and squares < least:
                best, least = np.zeros(amounts.shape[1]), squares
                best[columns] = found / scale[columns]
    return best


def left_out(amounts: Floats, seconds: Floats) -> Floats:
    """Seconds of each row, predicted by constants from all other rows."""
    rows = range(len(seconds))
    return np.array(
        [amounts[row] @ constants(np.delete(amounts, row, axis=0), np.delete(seconds, row)) for row in rows]
    )


def explained(predicted: Floats, seconds: Floats) -> float:
    """The share of the variance of the logarithms of times; negative where their mean predicts better."""
    logarithms = np.log(seconds)
    return float(1 - np.sum((np.log(predicted) - logarithms) ** 2) / np.sum((logarithms - logarithms.mean()) ** 2))


@dataclass(frozen=True)
class Fit:
    """A model of the times of a device: constants of all rows (0: the term is not in the model, or explains nothing),
    and the seconds of each row by constants of the others."""

    terms: tuple[str, ...]
    constants: Mapping[str, float]
    seconds: Mapping[str, float]
    published: Mapping[str, float]

    @property
    def errors(self) -> dict[str, float]:
        """Predicted / published - 1 by row."""
        return {row: self.seconds[row] / self.published[row] - 1 for row in self.published}

    @property
    def median(self) -> float:
        return statistics.median(map(abs, self.errors.values()))

    @property
    def worst(self) -> float:
        return max(map(abs, self.errors.values()))

    @property
    def explained(self) -> float:
        return explained(np.array(list(self.seconds.values())), np.array(list(self.published.values())))

    def record(self) -> dict[str, object]:
        """The JSON contract."""
        return {
            "terms": list(self.terms),
            "constants": dict(self.constants),
            "median_error": self.median,
            "largest_error": self.worst,
            "explained": self.explained,
            "rows": {
                row: {"published": self.published[row], "predicted": self.seconds[row], "error": error}
                for row, error in self.errors.items()
            },
        }


def fitted(terms: Sequence[str], rows: Mapping[str, Sequence[float]], published: Mapping[str, float]) -> Fit:
    """The fit of a model; ``rows``: the amounts of `TERMS` by row, ``published``: seconds by row."""
    amounts = np.array([[rows[row][TERMS.index(term)] for term in terms] for row in published], float)
    seconds = np.array(list(published.values()))
    return Fit(
        tuple(terms),
        dict(zip(terms, map(float, constants(amounts, seconds)), strict=True)),
        dict(zip(published, map(float, left_out(amounts, seconds)), strict=True)),
        published,
    )


def amounts(entry: Entry) -> tuple[float, float, float]:
    """FLOPs, bytes and launches of one frame."""
    cost = entry.cost
    return float(TORCH.flops(cost.work)), float(cost.reads + cost.writes), float(cost.launches)


def together(rows: Mapping[str, Sequence[float]]) -> str:
    """The two terms that go together most, in words."""
    correlation = np.corrcoef(np.array(list(rows.values())).T)
    one, other = max(itertools.combinations(range(len(TERMS)), 2), key=lambda pair: abs(correlation[pair]))
    return f"{TERMS[one]} and {TERMS[other]} go together (correlation {correlation[one, other]:.2f})"


def in_words(found: Mapping[str, float]) -> str:
    """Machine constants as rates."""
    units = {"FLOPs": (1e-9, "GFLOP/s"), "bytes": (1e-9, "GB/s")}
    said = []
    for term, value in found.items():
        if not value:
            said.append(f"{term}: nothing")
        elif term in units:
            factor, unit = units[term]
            said.append(f"{factor / value:,.4g} {unit}")
        else:
            said.append(f"{1e6 * value:,.4g} us a launch")
    return ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    given = parser.parse_args()
    networks = entries(size=SIZE, kernel=KERNEL, heads=False)
    rows = {approach: amounts(networks[approach]) for approach in TABLE_IV}
    columns = {
        GPU: {approach: row.gpu_ms / 1e3 for approach, row in TABLE_IV.items()},
        CPU: {approach: row.cpu_ms / 1e3 for approach, row in TABLE_IV.items()},
    }
    fits = {machine: [fitted(terms, rows, published) for terms in MODELS] for machine, published in columns.items()}
    if given.format == "json":
        print(json.dumps({machine.name: [fit.record() for fit in each] for machine, each in fits.items()}, indent=1))
        return
    for machine, each in fits.items():
        show(machine.name, each)
    print(
        f"{together(rows)}, so that 13 rows hardly tell how these terms share the time: a constant is not a rate of the"
    )
    print("machine, and can be better than the data sheet of the machine.")


def show(machine: str, fits: Sequence[Fit]) -> None:
    """Print the models of a machine, and the rows of the last one, which has all terms."""
    pairs = [(f"spatial-LSTM-ICNet {v}", f"LSTM-ICNet {v}") for v in ("v2", "v5", "v6")]
    print(f"{machine}, Table IV, 13 rows, each predicted by constants from the other 12\n")
    print(
        f"{'model':27} {'median':>7} {'largest':>8} {'explained':>10} {'spatial / standard v2, v5, v6':>30}  constants"
    )
    for fit in fits:
        ratios = ", ".join(f"{fit.seconds[above] / fit.seconds[below]:.3f}" for above, below in pairs)
        figures = f"{100 * fit.median:6.1f}% {100 * fit.worst:7.1f}% {100 * fit.explained:9.1f}%"
        print(f"{' + '.join(fit.terms):27} {figures} {ratios:>30}  {in_words(fit.constants)}")
    whole = fits[-1]
    printed = [whole.published[above] / whole.published[below] for above, below in pairs]
    ratios = ", ".join(f"{ratio:.3f}" for ratio in printed)
    print(f"{'in print':54} {ratios:>30}")
    print(f"\n{'row, all three terms':27} {'published':>10} {'predicted':>10} {'error':>7}")
    for row, error in whole.errors.items():
        print(f"{row:27} {1e3 * whole.published[row]:7.1f} ms {1e3 * whole.seconds[row]:7.1f} ms {100 * error:6.1f}%")
    predicted = [whole.seconds[above] / whole.seconds[below] for above, below in pairs]
    right = sum((one > 1) == (other > 1) for one, other in zip(predicted, printed, strict=True))
    above = sum(one > 1 for one in printed)
    print(
        f"\nSpatial is above standard in {above} of 3 networks in print, and in "
        f"{sum(one > 1 for one in predicted)} of 3 by all three terms: the side is right for {right} of 3.\n"
    )


if __name__ == "__main__":
    main()
