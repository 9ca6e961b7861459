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

# Each floor stands on those above it in this list; what is on one floor may lean on its neighbours.
FLOORS = [
    {
        *("model", "errors", "settings", "logs", "limits", "memory", "metrics", "mac", "tracing"),
        *("descriptors", "clocks", "patience", "disposition", "prometheus"),
    },
    {"http", "fingerprints", "jsonbody", "forms", "media", "search", "jwks", "tokens"},
    {
        "admission",
        "inspection",
        "observed",
        "notes",
        "pairing",
        "quarantine",
        "ports",
        "depot",
        "undoing",
        "images",
        "uploads",
        "sweeper",
        "reconciler",
        "reindexer",
        "rebuilder",
        "migrator",
        "recoverer",
    },
    {
        "fields",
        "schemas",
        "identity",
        "scraping",
        "bodies",
        "problems",
        "cors",
        "endpoints",
        "api",
        "examples",
        "openapi",
    },
    {"static"},
    {"backends", "runtime", "page", "reader"},
    {"server"},
    {"__main__"},
]
BACKENDS = ("service.local", "service.aws")
BACKENDS_MAY_USE = {"service.model", "service.errors", "service.settings", "service.search", "service.mac"}
STORAGE_ROUTES_MAY_USE = {"service.http", "service.forms"}
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


def room(name: str) -> str:
    """Return the file or folder of the service that a module is in."""
    return name.split(".")[1]


def floor(name: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if room(name) in rooms)


CORE = sorted(
    name for name in modules() if within(name, "service") and name != "service" and not name.startswith(BACKENDS)
)


def test_every_module_of_the_service_has_its_floor() -> None:
    placed = [name for rooms in FLOORS for name in rooms]
    assert sorted(placed) == sorted({room(name) for name in CORE})


@pytest.mark.parametrize("name", CORE)
def test_a_module_stands_on_those_below_it(name: str) -> None:
    for each in imports(name):
        if within(each, "service") and not each.startswith(BACKENDS):
            assert floor(each) <= floor(name), f"{name} imports {each}"


def test_nothing_is_imported_in_a_circle() -> None:
    # What a function imports when it is called does not count.
    at_load = {
        name: {each for statement in module.body for each in imported(name, statement)} - {name}
        for name, module in modules().items()
    }
    TopologicalSorter(at_load).prepare()


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.startswith(BACKENDS)))
def test_a_backend_knows_the_domain_and_nothing_of_the_api(name: str) -> None:
    allowed = BACKENDS_MAY_USE | (STORAGE_ROUTES_MAY_USE if name == "service.local.storage" else set())
    backend = next(each for each in BACKENDS if within(name, each))
    used = {each for each in imports(name) if ours(each)}
    assert {each for each in used if not within(each, backend)} <= allowed


def test_in_the_service_only_one_module_knows_the_backends() -> None:
    assert {name for name in CORE if any(each.startswith(BACKENDS) for each in imports(name))} == {
        "service.backends"
    }


def test_only_media_imports_pillow() -> None:
    importing = {name for name in modules() if any(within(each, "PIL") for each in imports(name))}
    rooms = ("animations", "colour", "decoding", "gif", "png", "png_pixels", "resizing", "variants")
    assert importing == {f"service.media.{each}" for each in rooms}


def test_only_tracing_imports_opentelemetry_and_only_prometheus_its_client() -> None:
    for library, room in (("opentelemetry", "service.tracing"), ("prometheus_client", "service.prometheus")):
        importing = {name for name in modules() if any(within(each, library) for each in imports(name))}
        assert importing == {room}


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
    for name in ("service.errors", "service.model", "service.settings"):
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
