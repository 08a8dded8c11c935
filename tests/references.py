"""The reference files beside the tests, as lists of dictionaries."""

import csv
from pathlib import Path

DATA = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


EXACT = rows("table_iv_exact.csv")
PRINTED = rows("paper_table_iv.csv")
LAYERS = rows("icnet_layers.csv")
