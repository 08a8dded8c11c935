"""The fresh process that computes references into files, each of which serves all settings of a subject: a reference
can take longer than all else of a short run.
"""

import os
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from costmodel.measure.child import main
from costmodel.measure.timed import expected


def serve(pipe: Connection) -> None:
    """Serve the runner: compute the results of references, and save the results."""
    pipe.send("here")
    while True:
        workload, how, file = pipe.recv()
        save(expected(workload, how), file)
        pipe.send("saved")


def save(results: "list[torch.Tensor] | None", file: Path) -> None:
    """Save results as a whole, or not at all."""
    half = file.with_suffix(f".{os.getpid()}")
    torch.save(results, half)
    half.replace(file)


if __name__ == "__main__":
    main(serve)
