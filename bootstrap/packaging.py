"""The functions' zip: the service and what it imports, for Lambda's machines; the same bytes for the same code.

It holds the very versions that are installed here, so what was tested is what runs. Byte-compiled, since a
function cannot write what Python would keep; without the SDK's descriptions of the services that nobody calls.
"""

import base64
import gzip
import hashlib
import io
import json
import logging
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, requires
from importlib.resources import files
from pathlib import Path
from typing import Any

from botocore import xform_name

from .processes import installed_once, path_variable, run

logger = logging.getLogger(__name__)

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# Lambda's oldest Python on Amazon Linux 2023: Pillow's wheels need a newer C library than its forerunner had.
_OLDEST, _NEWEST = (3, 12), (3, 14)
_GLIBC = range(34, 16, -1)  # minor versions of 2.x that Amazon Linux 2023 satisfies, newest first
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip knows

_OURS = ("service", "lambda_adapter")
# The last would be a tenth of the zip, to save a tenth of a decode. There is none for ARM, and Pillow does without.
_FOR_SERVERS_AND_TERMINALS = frozenset({"click", "platformdirs", "prometheus-client", "rich", "cykooz-resizer"})
_SERVICES = frozenset({"dynamodb", "s3", "sts"})
# Cryptography needs no more of cffi than its extension; of Powertools nobody uses these.
_UNUSED_UTILITIES = (
    "batch", "data_masking", "feature_flags", "idempotency", "kafka", "parameters", "parser", "streaming",
    "validation",
)  # fmt: skip
_LEFT_OUT = (
    "__pycache__",
    "*.c", "*.h", "*.pxd", "*.pyi", "*.pyx",
    "bin", "tests",
    "boto3/data", "boto3/examples", "botocore/data/*/*/examples-1.json",
    "cffi", "pycparser", "dateutil/zoneinfo/*.tar.gz",
    "aiohttp/_websocket/*.so",  # nobody opens one, and aiohttp has the same in Python
    *(f"aws_lambda_powertools/utilities/{name}" for name in _UNUSED_UTILITIES),
    "event_handler/openapi/swagger_ui/*.css", "event_handler/openapi/swagger_ui/*.js",
    "*.dist-info/INSTALLER", "*.dist-info/RECORD", "*.dist-info/REQUESTED", "*.dist-info/WHEEL",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What the functions run on, in Lambda's words; `platforms` are pip's tags for it, none: this very machine."""

    python: str
    architecture: str
    platforms: tuple[str, ...] = ()

    @property
    def runtime(self) -> str:
        """Return Lambda's identifier of the runtime."""
        return f"python{self.python}"

    @classmethod
    def this_machine(cls) -> "Target":
        """Return what an emulator runs functions on that starts them as processes of its own machine."""
        return cls(_HERE, _this_architecture())

    @classmethod
    def containers(cls) -> "Target":
        """Return what an emulator runs functions on that starts AWS's images: as AWS, on this processor."""
        return cls.aws(_this_architecture())

    @classmethod
    def aws(cls, architecture: str = "x86_64", python: str = "") -> "Target":
        """Return what AWS runs functions on: Amazon Linux 2023; this Python if Lambda has it, or else 3.13."""
        has_ours = _OLDEST <= sys.version_info[:2] <= _NEWEST
        machine = {"arm64": "aarch64"}.get(architecture, architecture)
        tags = (*(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC), f"manylinux2014_{machine}")
        return cls(python or (_HERE if has_ours else "3.13"), architecture, tags)


def _this_architecture() -> str:
    return "arm64" if platform.machine().lower() in {"aarch64", "arm64"} else "x86_64"


@dataclass(frozen=True, slots=True)
class Package:
    """A deployment package."""

    target: Target
    zipped: bytes = field(repr=False)

    @property
    def code_sha256(self) -> str:
        """Return its digest as Lambda tells it."""
        return base64.b64encode(hashlib.sha256(self.zipped).digest()).decode()


def build(target: Target) -> Package:
    """Return the package for a target; equal code and equal versions give equal bytes.

    What does not change with our own code is kept in the user's cache, so only the first build for a set of
    versions takes long (half a minute). Raises ServerFailed when a wheel cannot be had for the target.
    """
    pins = _pins()
    sources = [each.read_text() for each in (Path(__file__), *_sources("service.aws"))]
    recipe = repr((sorted(pins.items()), target, sources)).encode()
    name = f"functions-{target.python}-{target.architecture}-{hashlib.sha256(recipe).hexdigest()[:16]}"
    kept = installed_once(name, "dependencies.zip", partial(_install, target, pins))
    zipped = io.BytesIO((kept / "dependencies.zip").read_bytes())
    with tempfile.TemporaryDirectory() as temporary:
        _copy_ours(Path(temporary))
        _compile(Path(temporary), target)
        _add(zipped, Path(temporary))
    return Package(target, zipped.getvalue())


def _sources(package: str) -> list[Path]:
    return sorted(Path(str(files(package))).glob("*.py"))


def _copy_ours(directory: Path) -> None:
    for package in _OURS:
        # Pages are the server's alone.
        left_out = shutil.ignore_patterns("__pycache__", "web")
        shutil.copytree(str(files(package)), directory / package, ignore=left_out)
    version = distribution("pixdepot").version
    metadata = directory / f"pixdepot-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: pixdepot\nVersion: {version}\n")


def _pins() -> dict[str, str]:
    """Return every distribution that the service stands on, and the version of it that is installed here."""
    pins: dict[str, str] = {}
    seen, wanted = set(), [("pixdepot", frozenset[str]())]
    while wanted:
        name, extras = asked = wanted.pop()
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # for other platforms, or another Python
        pins[name] = installed.version
        seen.add(asked)
        needed = [_requirement(line) for line in installed.requires or [] if _applies(line, extras)]
        wanted += [each for each in needed if each not in seen]
    del pins["pixdepot"]
    return pins


def _requirement(line: str) -> tuple[str, frozenset[str]]:
    """Return what a line of a distribution's metadata asks for: a name, and its extras."""
    found = re.match(r"([\w.-]+)\s*(?:\[([^]]*)\])?", line)
    assert found  # noqa: S101 - installers accept nothing else
    name = re.sub(r"[-_.]+", "-", found[1]).lower()
    return name, frozenset(each.strip() for each in (found[2] or "").split(",") if each.strip())


def _applies(line: str, extras: frozenset[str]) -> bool:
    condition = re.search(r"""extra == ["']([\w.-]+)["']""", line)
    return condition is None or condition[1] in extras


def _install(target: Target, pins: dict[str, str], directory: Path) -> None:
    """Make `dependencies.zip` in a directory that is empty."""
    needed = [line for line in requires("pixdepot") or [] if _applies(line, frozenset())]
    needed = [line for line in needed if _requirement(line)[0] not in _FOR_SERVERS_AND_TERMINALS]
    with tempfile.TemporaryDirectory() as temporary:
        constraints, installed = Path(temporary, "constraints.txt"), Path(temporary, "installed")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
        # An environment of its own, since those that uv makes have no pip.
        run([sys.executable, "-m", "venv", str(Path(temporary, "pip"))])
        run(
            [
                *(str(Path(temporary, "pip", "bin", "python")), "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--no-input", "--target", str(installed)),
                *_for(target),
                *("--constraint", str(constraints)),
                *needed,
            ]
        )
        _prune(installed)
        _compile(installed, target)
        zipped = io.BytesIO()
        _add(zipped, installed)
    (directory / "dependencies.zip").write_bytes(zipped.getvalue())


def _for(target: Target) -> Iterator[str]:
    """Yield pip's options for another machine than this one."""
    for each in target.platforms:
        yield from ("--platform", each)
    if target.platforms:
        yield from ("--implementation", "cp", "--python-version", target.python, "--only-binary", ":all:")


def _prune(installed: Path) -> None:
    """Remove what no function reads. Licences and the distributions' names and versions stay."""
    descriptions = installed / "botocore" / "data"
    services = [each for each in descriptions.iterdir() if each.is_dir()]
    unread = [each for each in services if each.name not in _SERVICES]
    unread += [each for pattern in _LEFT_OUT for each in installed.rglob(pattern)]
    for each in unread:
        shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    _trim(descriptions)


def _trim(descriptions: Path) -> None:
    """Shorten what the SDK reads before its first call, most of a cold start: to the operations our code names."""
    named = {word for each in _sources("service.aws") for word in re.findall(r"\w+", each.read_text())}
    for path in [descriptions / "endpoints.json", *descriptions.glob("*/*/*.json.gz")]:
        description = json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        for partition in description.get("partitions", []):
            partition["services"] = {k: v for k, v in partition["services"].items() if k in _SERVICES}
        if path.name == "service-2.json.gz":
            description = _with_operations(description, named)
        path.unlink()
        path.with_name(path.name.removesuffix(".gz")).write_text(json.dumps(description, separators=(",", ":")))


def _with_operations(description: dict[str, Any], named: set[str]) -> dict[str, Any]:
    """Return a service's description with the operations that are named, the shapes they need, and no prose."""
    operations = {k: v for k, v in description["operations"].items() if xform_name(k) in named}
    shapes: dict[str, Any] = {}
    wanted = {*_shapes(operations)}
    while wanted:
        shapes |= {name: description["shapes"][name] for name in wanted}
        wanted = {*_shapes(shapes)} - shapes.keys()
    kept: dict[str, Any] = _without_prose({**description, "operations": operations, "shapes": shapes})
    return kept


def _shapes(part: Any) -> Iterator[str]:
    """Yield the names of the shapes that a part of a description refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        for each in part.values():
            yield from _shapes(each)
    elif isinstance(part, list):
        for each in part:
            yield from _shapes(each)


def _without_prose(part: Any) -> Any:
    if isinstance(part, dict):  # where the SDK reads prose, it wants to find some
        return {
            k: "" if k == "documentation" and isinstance(v, str) else _without_prose(v) for k, v in part.items()
        }
    return [_without_prose(each) for each in part] if isinstance(part, list) else part


def _compile(directory: Path, target: Target) -> None:
    """Byte-compile in place, for this Python; another's loads its sources as they are.

    Python will not compare with the sources, whose times a zip does not keep, and names them as on Lambda.
    """
    if target.python != _HERE:
        logger.warning(
            "Packaged with Python %s for %s: without bytecode, so cold starts are slower.", _HERE, target.python
        )
        return
    as_on_lambda = ("-s", str(directory), "-p", "/var/task")
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *as_on_lambda]
    run([*command, str(directory)], env={**path_variable(), "PYTHONHASHSEED": "0"})


def _add(zipped: io.BytesIO, directory: Path) -> None:
    """Add what is below a directory, in an order and with times and permissions that never differ."""
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _EPOCH)
                entry.external_attr = (0o755 if ".so" in path.suffixes else 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
