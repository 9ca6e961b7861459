"""Imports run one way, as docs/ARCHITECTURE.md draws it; and starting loads only what is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "lambda_adapter", "bootstrap", "pixdepot")

# Each wing stands on those before it, and imports nothing of those behind it. What is no folder is a file.
WINGS = [
    *("settings", "domain", "machine", "media", "telemetry", "operations", "upkeep", "api", "web"),
    *("local", "aws", "backends", "runtime", "connections", "server", "__main__"),
]
# What some may not import although it stands before them.
NOT_FOR = {
    "domain": {"settings"},
    "machine": {"settings", "domain"},
    "media": {"settings"},
    "telemetry": {"machine", "media"},
    "api": {"machine", "upkeep"},
    "web": {"machine", "media", "operations", "upkeep"},
    "local": {"machine", "media", "telemetry", "operations", "upkeep", "api", "web"},
    "aws": {"machine", "media", "telemetry", "operations", "upkeep", "api", "web", "local"},
}
# The local backend's routes stand in for S3's own endpoint, so they speak HTTP.
BUT = {"service.local.storage": {"service.api.http", "service.api.forms"}}
BACKENDS = ("service.local", "service.aws")
SKINS = {"service.server": {"pixdepot.commands"}, "lambda_adapter": {"bootstrap"}}


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of ours by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(), str(path))
    return found


def is_package(name: str) -> bool:
    return (ROOT.joinpath(*name.split(".")) / "__init__.py").exists()


@cache
def imports(name: str) -> set[str]:
    """Return the modules that a module imports: ours by their full name, others as they are written."""
    return {each for statement in ast.walk(modules()[name]) for each in imported(name, statement)}


def imported(name: str, statement: ast.AST) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        package = name if is_package(name) else name.rpartition(".")[0]
        module = resolve_name("." * statement.level + (statement.module or ""), package)
        for alias in statement.names:
            inner = f"{module}.{alias.name}"
            yield inner if inner in modules() else module


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def ours(name: str) -> bool:
    return any(within(name, package) for package in PACKAGES)


def wing(name: str) -> str:
    """Return the folder or file of the service that a module is in."""
    return name.split(".")[1]


SERVICE = sorted(name for name in modules() if within(name, "service") and name != "service")


def test_every_module_of_the_service_has_its_wing() -> None:
    assert {wing(name) for name in SERVICE} == {*WINGS}


@pytest.mark.parametrize("name", SERVICE)
def test_a_module_imports_of_wings_before_its_own(name: str) -> None:
    own = wing(name)
    may = {*WINGS[: WINGS.index(own) + 1]} - NOT_FOR.get(own, set())
    others = {each for each in imports(name) if within(each, "service")} - {"service"} - BUT.get(name, set())
    assert {each for each in others if wing(each) not in may} == set()


def test_each_wing_says_what_lives_there_and_what_it_may_import() -> None:
    for name in {f"service.{each}" for each in WINGS if is_package(f"service.{each}")}:
        assert len((ast.get_docstring(modules()[name]) or "").splitlines()) >= 3, name


def test_nothing_is_imported_in_a_circle() -> None:
    # What a function imports when it is called does not count.
    at_load = {
        name: {each for statement in module.body for each in imported(name, statement)} - {name}
        for name, module in modules().items()
    }
    TopologicalSorter(at_load).prepare()


def test_in_the_service_only_one_module_knows_the_backends() -> None:
    knowing = {name for name in SERVICE if any(each.startswith(BACKENDS) for each in imports(name))}
    assert {name for name in knowing if not name.startswith(BACKENDS)} == {"service.backends"}


def test_only_media_imports_pillow() -> None:
    importing = {name for name in modules() if any(within(each, "PIL") for each in imports(name))}
    modules_of_media = ("animations", "colour", "decoding", "gif", "png", "png_pixels", "resizing", "variants")
    assert importing == {f"service.media.{each}" for each in modules_of_media}


def test_only_tracing_imports_opentelemetry_and_only_prometheus_its_client() -> None:
    for library, name in (("opentelemetry", "tracing"), ("prometheus_client", "prometheus")):
        importing = {name for name in modules() if any(within(each, library) for each in imports(name))}
        assert importing == {f"service.telemetry.{name}"}


def test_only_the_aws_backend_and_bootstrap_speak_to_aws() -> None:
    sdks = ("aioboto3", "aiobotocore", "boto3", "botocore")
    speaking = {name for name in modules() if any(within(each, sdk) for each in imports(name) for sdk in sdks)}
    assert all(within(name, "service.aws") or within(name, "bootstrap") for name in speaking)


@pytest.mark.parametrize(("skin", "may"), SKINS.items())
def test_nothing_imports_a_skin_but_what_starts_it(skin: str, may: set[str]) -> None:
    importing = {name for name in modules() if any(within(each, skin) for each in imports(name))}
    outside = {name for name in importing if not within(name, skin)}
    assert all(any(within(name, each) for each in may) for name in outside), outside


def test_nothing_imports_bootstrap_but_the_command_line() -> None:
    importing = {name for name in modules() if any(within(each, "bootstrap") for each in imports(name))}
    outside = {name for name in importing if not within(name, "bootstrap")}
    assert all(within(name, "pixdepot.commands") for name in outside), outside


def test_the_client_needs_nothing_of_the_service_and_no_library_but_aiohttp() -> None:
    commands = {name for name in modules() if within(name, "pixdepot.cli") or within(name, "pixdepot.commands")}
    for name in {name for name in modules() if within(name, "pixdepot")} - commands:
        outside = {each.partition(".")[0] for each in imports(name)} - sys.stdlib_module_names
        assert outside <= {"pixdepot", "aiohttp", "yarl"}, name


def test_errors_and_model_need_the_standard_library_only() -> None:
    for name in ("service.domain.errors", "service.domain.model", "service.settings"):
        assert {each.partition(".")[0] for each in imports(name)} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "service.runtime",
            [
                "boto3",
                "botocore",
                "aiobotocore",
                "aioboto3",
                "aiohttp.web",
                "apispec",
                "jwt",
                "cryptography",
                "prometheus_client",
                "opentelemetry",
            ],
        ),
        ("pixdepot", ["aiohttp", "click", "rich", "service", "bootstrap"]),
        (
            "pixdepot.client",
            ["aiohttp.web", "aioboto3", "botocore", "PIL", "marshmallow", "click", "rich", "service", "bootstrap"],
        ),
        ("pixdepot.cli", ["aiohttp", "aioboto3", "botocore", "PIL", "marshmallow", "sqlite3"]),
        ("service.server", ["boto3", "botocore", "aiobotocore", "aioboto3", "apispec", "jwt", "opentelemetry"]),
    ],
)
def test_loading_a_module_loads_nothing_it_does_not_need(module: str, unwanted: list[str]) -> None:
    script = f"import sys, {module}; print(*sorted(set({unwanted!r}) & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
