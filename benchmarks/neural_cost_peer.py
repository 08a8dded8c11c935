"""The times that the package neural-cost predicts for the subjects of a profile, with and without its replay.

    python benchmarks/neural_cost_peer.py PROFILE.json OUT.json DIGEST ...

`prediction_accuracy.py --peer FOLDER` runs it, with the pinned environment of measured processes and the package on
the path; the package is no dependency. As its own validation does: calibrate once, capture the operations of a
module, add up calibrated times, and times of operations that run alone. OUT.json grows with every subject: seconds
without and with replay, by the digest of the subject.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import accuracy_subjects as subjects
import torch

from costmodel.building.module import build
from costmodel.profiles.files import load
from costmodel.profiles.records import Subject


def made(subject: Subject) -> tuple[Any, tuple[Any, ...]]:
    """What is called, and the inputs of a call, with values."""
    if subject.module is not None:
        net, (args, _) = subjects.counted(subject).made()
        return net, args
    network = build(subjects.described(subject)).eval()
    frame = torch.randn(1, *network.frame_shape)
    return network, (frame, network.zeros(frame))


def main() -> None:
    from neural_cost import detect_hardware
    from neural_cost.adapters import TorchAdapter
    from neural_cost.validation import ValidationCase

    profile, out = load(Path(sys.argv[1])), Path(sys.argv[2])
    found = json.loads(out.read_text()) if out.exists() else {}
    missing = [run for run in profile.runs if run.subject.digest in set(sys.argv[3:]) - set(found)]
    if not missing:
        return
    torch.set_num_threads(missing[0].how.threads or torch.get_num_threads())
    adapter = TorchAdapter(use_profiler=False)
    hardware, _ = detect_hardware()
    calibration = adapter.calibrate("cpu")
    for number, run in enumerate(missing):
        begun = time.monotonic()
        try:
            with torch.no_grad():
                module, inputs = made(run.subject)
                operations = adapter.operations(module, inputs)
                kernels = adapter.trace_kernels(module, inputs)
                case = ValidationCase.from_operations(
                    run.subject.title,
                    operations,
                    1.0,  # a measured time, which no prediction uses
                    hardware,
                    kernels=len(kernels),
                    calibration=calibration,
                    isolated_seconds=adapter.replay(operations, "cpu"),
                    extra_kernels=[(kernel.bytes, kernel.python_dispatch) for kernel in kernels if not kernel.heavy],
                )
        except Exception as error:  # of the package, for this subject: the others go on
            print(f"neural-cost on {run.subject.title}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        found[run.subject.digest] = [case.calibrated_seconds, case.replay_seconds]
        half = out.with_suffix(".half")
        half.write_text(json.dumps(found, indent=1))
        half.replace(out)
        seconds = time.monotonic() - begun
        print(f"neural-cost {number + 1} of {len(missing)}: {run.subject.title} ({seconds:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
