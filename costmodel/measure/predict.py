"""The operations that a prediction lacks, timed alone on this machine."""

import warnings
from collections.abc import Callable

import torch

from costmodel.errors import InvalidInput
from costmodel.measure.clock import CudaClock, WallClock
from costmodel.measure.host import host
from costmodel.measure.replay import seconds
from costmodel.price.latency import Prediction
from costmodel.profiles.records import Host, Settings
from costmodel.work.call import Call


def replayed(
    prediction: Prediction,
    how: Settings,
    where: Host,
    tick: Callable[[float], object] = lambda done: None,
    tell: Callable[[str], object] = warnings.warn,
) -> dict[Call, float]:
    """Seconds of the calls that a prediction lacks, each timed alone with its arguments in no cache. ``tick`` hears the
    share that is done, ``tell`` the calls that cannot be made alone, which are left out. `InvalidInput` where this
    machine is not the one of the prediction, ``where``."""
    if differences := host(how.device).differences(where):
        raise InvalidInput(f"replay times on this machine, which is not that of the prediction: {differences[0]}")
    lacking = [row for row in prediction.rows if row.seconds is None]
    calls = {row.operation.call: row.kind for row in lacking if row.operation.call}
    clock = CudaClock(torch.cuda, None) if how.device == "cuda" else WallClock()
    found: dict[Call, float] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(how.threads or before)
    try:
        for number, (call, kind) in enumerate(calls.items(), 1):
            try:
                found[call] = seconds(call, "cold", clock, device=how.device)
            except InvalidInput as error:
                tell(f"not replayed: {kind}: {error}")
            tick(number / len(calls))
    finally:
        torch.set_num_threads(before)
    return found
