"""This machine, and the state of its GPU."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.records import Gpu, GpuState, Host

# Large blocks stay in the process: otherwise glibc returns blocks to the kernel after every layer, and page faults take
# most of the time of a memory-bound step, differently in every process.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_PROC_BIND": "true",
    "PYTHONHASHSEED": "0",
}
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # for `Settings.pages`; needs glibc 2.35


# Variables that change how a child computes or allocates memory; profiles do not record them.
NOT_INHERITED = (
    *("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_"),
    *("PYTORCH_", "NVIDIA_TF32_OVERRIDE", "PYTHONHASHSEED"),
)


def host(device: str) -> Host:
    """This machine, as profiles record it. `InvalidInput` for ``cuda`` where there is no GPU."""
    return Host(
        cpu=cpu_name(),
        cores=len(cores()),
        memory=physical_memory(),
        os=f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        python=platform.python_version(),
        torch=version("torch"),
        costmodel=_costmodel(),
        commit=_commit(),
        cudnn_benchmark=False if device == "cuda" else None,
        environment=ENVIRONMENT,
        gpu=_gpu() if device == "cuda" else None,
        date=datetime.now(UTC).replace(microsecond=0),
    )


def cpu_name() -> str:
    """The name of the processor, from the operating system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def cores() -> list[int]:
    """The CPUs that this process may use, one for each physical core."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    first: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    return list(first.values())


def cache_bytes(device: str, caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache; 32 MiB on a CPU whose system does not tell."""
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    texts = [file.read_text().strip() for file in caches.glob("index*/size")]
    sizes = [int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for text in texts if re.fullmatch(r"\d+[KM]", text)]
    return max(sizes, default=32 << 20)


def physical_memory() -> int:
    """Bytes of memory that this machine has, or that its container allows."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(whole, int(allowed)) if allowed.isdecimal() else whole


def require_huge_pages(setting: Path = Path("/sys/kernel/mm/transparent_hugepage/enabled")) -> None:
    """Raise `InvalidInput` where the allocator cannot get huge pages."""
    library, _, number = " ".join(platform.libc_ver()).partition(" ")
    if library != "glibc" or tuple(map(int, number.split(".")[:2])) < (2, 35):
        raise InvalidInput(
            f"pages huge: needs glibc 2.35 or newer, not {library or 'another C library'} {number}".rstrip()
        )
    if not setting.exists() or "[never]" in setting.read_text():
        raise InvalidInput(f"pages huge: this system has no transparent huge pages ({setting}: always or madvise)")


def huge_page_share(rollup: Path = Path("/proc/self/smaps_rollup")) -> float | None:
    """The share of this process's anonymous memory that is in huge pages; None where the system does not tell."""
    sizes = _numbers(rollup, r"^(\w+):\s+(\d+) kB")
    return round(sizes["AnonHugePages"] / sizes["Anonymous"], 4) if sizes.get("Anonymous") else None


def stolen_seconds(cpus: Iterable[int], stat: Path = Path("/proc/stat")) -> float | None:
    """Seconds since the start of this machine in which its host gave the CPUs to others, summed over the CPUs."""
    ticks = _numbers(stat, r"^cpu(\d+)(?: \d+){7} (\d+)")  # user nice system idle iowait irq softirq, and then steal
    known = [ticks[str(cpu)] for cpu in cpus if str(cpu) in ticks]
    return sum(known) / os.sysconf("SC_CLK_TCK") if known else None


def mean_mhz(cpus: Iterable[int], info: Path = Path("/proc/cpuinfo")) -> float | None:
    """The present clock rate of CPUs in MHz, the mean; None where the system does not tell."""
    rates = _numbers(info, r"^processor\s*: (\d+)$(?:\n.+)*?\ncpu MHz\s*: ([\d.]+)$")
    known = [rates[str(cpu)] for cpu in cpus if str(cpu) in rates]
    return round(sum(known) / len(known), 1) if known else None


def _numbers(file: Path, pattern: str) -> dict[str, float]:
    """Numbers by name in a file of the system; none where there is no such file."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    return {name: float(number) for name, number in re.findall(pattern, text, re.MULTILINE)}


def _costmodel() -> str | None:
    """The version of this package; None in a checkout that is not installed, which `_commit` tells."""
    with suppress(PackageNotFoundError):
        return version("costmodel")
    return None


def _commit() -> str | None:
    """The commit of the checkout, marked ``-dirty`` where files were changed; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def require_gpu() -> None:
    """Raise `InvalidInput` where torch cannot use an NVIDIA GPU."""
    import torch

    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else f": torch {torch.__version__} was built without CUDA"
        raise InvalidInput(f"device cuda: torch finds no NVIDIA GPU{built}")


def _gpu() -> Gpu:
    import torch

    require_gpu()
    properties = torch.cuda.get_device_properties(0)
    cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch has no type for it
    return Gpu(
        name=properties.name,
        memory=properties.total_memory,
        driver=_driver(),
        cuda=torch.version.cuda,
        cudnn=str(cudnn) if cudnn else None,
    )


def _nvml() -> Any:
    """NVML, initialised; None where NVML is not available."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, no permission: a measurement goes on, and the file shows what is missing
        return None
    return pynvml


def _driver() -> str | None:
    nvml = _nvml()
    return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())


def gpu_state(nvml: Any = None, uuid: str | None = None) -> GpuState | None:
    """Clocks, power, temperature and throttle reasons now; None without NVML. ``uuid``: from torch's properties."""
    nvml = nvml or _nvml()
    if nvml is None:
        return None

    def ask(*names: str, of: Sequence[Any]) -> Any:
        """The answer to the first of these questions that library and driver know; None where the card has none."""
        for name in names:
            with suppress(AttributeError, nvml.NVMLError):
                return getattr(nvml, name)(*of)
        return None

    handle = ask("nvmlDeviceGetHandleByUUID", of=[f"GPU-{uuid}"]) if uuid else ask("nvmlDeviceGetHandleByIndex", of=[0])
    if handle is None:
        return None
    power = ask("nvmlDeviceGetPowerUsage", of=[handle])
    # The first names are newer; the others leave NVML with CUDA 14.
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons", of=[handle])
    temperature = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
    return GpuState(
        sm_mhz=ask("nvmlDeviceGetClockInfo", of=[handle, nvml.NVML_CLOCK_SM]),
        memory_mhz=ask("nvmlDeviceGetClockInfo", of=[handle, nvml.NVML_CLOCK_MEM]),
        power_w=None if power is None else power / 1e3,  # from milliwatts
        temperature_c=ask(*temperature, of=[handle, nvml.NVML_TEMPERATURE_GPU]),
        throttle=None if reasons is None else tuple(word for bit, word in THROTTLE.items() if reasons & bit),
    )


# Bits of nvmlClocksThrottleReasons in nvml.h; "idle" is not a reason.
THROTTLE = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal, software",
    0x40: "thermal, hardware",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
