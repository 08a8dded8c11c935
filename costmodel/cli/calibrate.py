"""The command ``calibrate``: the rates of this machine, which predictions are made of."""

from functools import partial
from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format, choice, number
from costmodel.cli.timing import DEVICES, DTYPES, MEMORY_FORMATS, measured
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "calibrate --out mine",
        "calibrate --memory-format channels_last --threads 1 --out mine",
        "calibrate --device cuda --dtype bfloat16 --out mine --resume",
        "profiles mine --calibrations",
    )
)
def calibrate(
    *,
    device: Annotated[str, choice(DEVICES, "Where to run.")] = "cpu",
    dtype: Annotated[str, choice(DTYPES, "Number format.")] = "float32",
    memory_format: Annotated[str, choice(MEMORY_FORMATS, "Memory format of maps and weights.")] = "contiguous",
    threads: Annotated[int | None, number("N", "CPU threads.  [default: all cores]")] = None,
    tf32: Annotated[bool, typer.Option("--tf32", help="cuda: multiply float32 as TF32.")] = False,
    out: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Record to profiles/NAME.json, saved as it grows.")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Add to --out what its calibration lacks.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Measure a calibration anew that --out has.")] = False,
    form: Format = "text",
) -> None:
    """Calibrate this machine in about three minutes: operators and small modules, timed alone in a fresh process.

    Each operator is timed with its arguments in the cache (hot) and beyond all caches (cold), in four rounds of random
    order. Probes take a turn every half second: they tell the bandwidth of memory and the clock at that moment. A
    profile keeps the raw samples of as many calibrations as there are settings. Leave the machine alone meanwhile.
    """
    if not out:
        raise InvalidInput("calibrate needs --out NAME, which predictions then name as their machine")
    if resume and replace:
        raise InvalidInput("--resume or --replace, not both")
    from costmodel.measure.calibrate import record
    from costmodel.measure.profile import settings_grid
    from costmodel.profiles.files import destination
    from costmodel.report.calibration import document

    path = destination(out)
    (how,) = settings_grid(device, dtype=dtype, memory_format=memory_format, threads=threads, tf32=tf32)
    found, code = measured(partial(record, how, path, resume=resume, replace=replace), path, "calibrating")
    made = [each for each in found.calibrations if each.how == how] if found else []
    if found and made:
        print(document(found, path.stem, made).text(form))
    if code:
        raise typer.Exit(code)
