"""The command ``explain``: why counters disagree about a module."""

from costmodel.cli.app import app, examples
from costmodel.cli.count import Dtype, Factory, Inputs, Keywords, Making, Traceback, input_sets, user_code
from costmodel.cli.options import Format
from costmodel.cli.parsers import merged


@app.command(
    epilog=examples(
        'explain torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "explain mymodel:build --input 1x3x224x224 --format markdown",
    )
)
def explain(
    module: Factory,
    inputs: Inputs = None,
    kwargs: Keywords = None,
    make: Making = None,
    dtype: Dtype = None,
    traceback: Traceback = False,
    form: Format = "text",
) -> None:
    """Why tools disagree: what fvcore, FlopCounterMode, ptflops, thop, torchinfo, calflops and DeepSpeed print for a
    module, by kind of operation."""
    sets = input_sets(inputs, kwargs, dtype)
    from costmodel.counting.count import count as counting
    from costmodel.counting.explain import readings
    from costmodel.counting.load import load, prepared
    from costmodel.report import explain as report
    from costmodel.report.layout.document import together

    with user_code(traceback):
        net = prepared(load(module, merged(make)), train=False, dtype=dtype)
        counts = [counting(net, *args, **options) for args, options in sets]
        documents = [(", ".join(each.inputs), report.document(each, *readings(each))) for each in counts]
    print(together(documents).text(form))
