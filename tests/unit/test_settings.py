"""Settings come from the environment, and a slip of the pen stops the service before it starts."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from service.settings import CLIENT_VARIABLES, Settings, SettingsError, described, variable

NUMBERS = ["max_image_bytes", "max_pixels", "upload_ttl", "url_ttl", "sweep_interval"]
URLS = ["public_url", "s3_public_endpoint_url", "s3_endpoint_url", "cors_origins", "jwks_url", "jwt_issuer"]
NO_URLS = [
    "https://",
    "https:///path",
    "https://:443",
    "https://?a=b",
    "https://images.example/#x",
    "https://images.example/#",
    "https://ada:secret@images.example",
    "https://ada@images.example",
    "https://images.example:99999",
    "https://images.example:0",
    "https://images.example:",
    "https://images.example:http",
    "https://images .example",
    "https://images.example/a b",
    "https://b\u00fccher.example",
    "https://images.example\\path",
    "https://[::1",
    "https://<images>",
    "https://images.example\n.example",
]
LIMITS = ["rate_limit", "user_quota_bytes"]  # where 0 is none


def read(**given: str) -> Settings:
    return Settings.from_env({f"PIXDEPOT_{name.upper()}": text for name, text in given.items()})


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.backend, settings.auth, settings.cors_origins) == ("local", "open", ())
    assert (settings.max_image_bytes, settings.max_pixels) == (10_485_760, 67_108_864)
    assert settings.allow_open_auth is False


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("backend", "local", "local"),
        ("data_dir", "/srv/pictures", Path("/srv/pictures")),
        ("public_url", "https://images.example/v1/", "https://images.example/v1"),
        ("cors_origins", "https://a.example", ("https://a.example",)),
        (
            "cors_origins",
            " https://a.example/ , http://localhost:3000,",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("cors_origins", "https://A.Example", ("https://a.example",)),
        ("cors_origins", "http://[::1]:8080", ("http://[::1]:8080",)),
        ("cors_origins", "*", ("*",)),
        ("cors_origins", "http://localhost:*,http://[::1]:*", ("http://localhost:*", "http://[::1]:*")),
        ("cors_origins", ",", ()),
        ("cors_origins", "https://a.example:443,http://a.example:80", ("https://a.example", "http://a.example")),
        (
            "cors_origins",
            "http://a.example:443,https://a.example:8443",
            ("http://a.example:443", "https://a.example:8443"),
        ),
        ("public_url", "https://[::1]:8080/", "https://[::1]:8080"),
        ("public_url", "http://a_b.example:65535/~x/%20", "http://a_b.example:65535/~x/%20"),
        ("s3_public_endpoint_url", "https://s3.example/", "https://s3.example"),
        ("jwt_issuer", "urn:example:issuer", "urn:example:issuer"),
        ("jwt_issuer", "https://issuer.example/?tenant=a", "https://issuer.example/?tenant=a"),
        ("jwks_url", "https://issuer.example/keys?p=policy", "https://issuer.example/keys?p=policy"),
        ("jwt_issuer", "https://issuer.example/", "https://issuer.example/"),
        ("jwks_url", "https://issuer.example/jwks.json", "https://issuer.example/jwks.json"),
        ("jwks_url", "http://127.0.0.1:8000/jwks", "http://127.0.0.1:8000/jwks"),
        ("jwks_url", "http://[::1]:8000/jwks", "http://[::1]:8000/jwks"),
        *[(name, "42", 42) for name in (*NUMBERS, *LIMITS)],
        *[(name, "0", 0) for name in LIMITS],
        *[("allow_open_auth", text, True) for text in ("1", "true", "YES")],
        *[("allow_open_auth", text, False) for text in ("0", "False", "no")],
    ],
)
def test_a_setting_is_read_from_its_variable(name: str, text: str, value: Any) -> None:
    assert getattr(read(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("given", "apart"),
    [
        ({}, ("local", "sqlite")),
        ({"backend": "aws"}, ("s3", "dynamodb")),
        ({"storage": "s3"}, ("s3", "sqlite")),
        ({"database": "dynamodb"}, ("local", "dynamodb")),
        ({"backend": "aws", "database": "sqlite"}, ("s3", "sqlite")),
        ({"backend": "aws", "storage": "local"}, ("local", "dynamodb")),
        ({"backend": "local", "storage": "s3", "database": "dynamodb"}, ("s3", "dynamodb")),
        ({"backend": "aws", "storage": "local", "database": "sqlite"}, ("local", "sqlite")),
    ],
)
def test_storage_and_database_are_as_they_say_else_as_the_backend_says(
    given: dict[str, str], apart: tuple[str, str]
) -> None:
    settings = read(**given)
    stored = ("s3" if settings.uses_s3 else "local", "dynamodb" if settings.uses_dynamodb else "sqlite")
    assert stored == apart
    assert (
        read(**{name.removeprefix("PIXDEPOT_").lower(): text for name, text in settings.environment().items()})
        == settings
    )


@pytest.mark.parametrize("backend", ["local", "aws"])
def test_what_is_put_on_one_backend_is_there_with_both(backend: str) -> None:
    settings = read(storage="s3", database="sqlite", bucket="mine").on(backend)
    assert (settings.uses_s3, settings.uses_dynamodb) == (backend == "aws", backend == "aws")
    assert settings.bucket == "mine"


@pytest.mark.parametrize("name", ["s3_access_key_id", "s3_secret_access_key"])
def test_half_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"^Set PIXDEPOT_S3_ACCESS_KEY_ID and PIXDEPOT_S3_SECRET_ACCESS_KEY "):
        read(**{name: "half"})


def test_a_secret_key_is_in_no_representation_and_no_refusal() -> None:
    key = {"s3_access_key_id": "id", "s3_secret_access_key": "unmistakable"}
    assert "unmistakable" not in repr(read(**key))
    with pytest.raises(SettingsError) as refused:
        read(**{**key, "s3_secret_access_key": "unmistakable with a space"})
    assert "unmistakable" not in str(refused.value)


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_an_empty_value_counts_as_not_set(name: str) -> None:
    assert read(**{name: ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[(name, text) for name in NUMBERS for text in ("0", "-1", "1.5", "1e6", "10MB", "٣", " 1", "+1", "1_000")],
        *[(name, text) for name in LIMITS for text in ("-1", "1.5", "10MB", "٣", " 1", "none", "9" * 5_000)],
        ("max_pixels", "9" * 5_000),
        ("backend", "s3"),
        ("storage", "sqlite"),
        ("storage", "S3"),
        ("database", "aws"),
        ("s3_access_key_id", "a key"),
        ("s3_access_key_id", "a/key"),
        ("s3_secret_access_key", "a key"),
        ("backend", "LOCAL"),
        ("auth", "none"),
        ("jwks_url", "issuer.example/jwks"),
        ("jwks_url", "http://issuer.example/jwks"),
        ("jwks_url", "http://127.0.0.1.example/jwks"),
        ("jwks_url", "file:///jwks"),
        ("jwks_url", "https://"),
        ("jwks_url", "https:///jwks"),
        ("jwks_url", "http://127.0.0.1@issuer.example/jwks"),
        ("public_url", "images.example"),
        ("public_url", "ftp://images.example"),
        *[(name, text) for name in URLS for text in NO_URLS],
        *[(name, "https://images.example/?a=b") for name in URLS[:4]],
        *[(name, "https://images.example/?") for name in URLS[:4]],
        ("jwt_issuer", "two words"),
        ("jwt_issuer", " https://issuer.example"),
        ("jwks_url", "http://10.0.0.1/jwks"),
        ("allow_open_auth", "on please"),
        ("allow_open_auth", "2"),
        ("cors_origins", "app.example"),
        ("cors_origins", "https://a.example https://b.example"),
        ("cors_origins", "https://a.example/app"),
        ("cors_origins", "https://a.example,null"),
        ("cors_origins", "https://*.example"),
        ("cors_origins", "https://a.example:*:*"),
        ("cors_origins", "https://a.example:8*"),
        ("cors_origins", ":*"),
        ("cors_origins", "https://"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^PIXDEPOT_{name.upper()} must be "):
        read(**{name: text})


JWT = {
    "auth": "jwt", "jwt_issuer": "https://issuer.example/", "jwt_audience": "pixdepot",
    "jwks_url": "https://issuer.example/jwks.json",
}  # fmt: skip


def test_tokens_take_an_issuer_an_audience_and_the_issuer_s_keys() -> None:
    assert read(**JWT).environment() == {f"PIXDEPOT_{name.upper()}": text for name, text in JWT.items()}
    for missing in JWT.keys() - {"auth"}:
        with pytest.raises(SettingsError, match=f"^PIXDEPOT_AUTH=jwt needs PIXDEPOT_{missing.upper()}.$"):
            read(**{name: text for name, text in JWT.items() if name != missing})


def test_what_tokens_take_may_be_set_without_them() -> None:
    assert read(**{**JWT, "auth": "open"}).auth == "open"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PIXDEPOT_MAX_IMAGE_BYTE", "PIXDEPOT_MAX_IMAGE_BYTES"),
        ("PIXDEPOT_backend", "PIXDEPOT_BACKEND"),
        ("PIXDEPOT_DATA-DIR", "PIXDEPOT_DATA_DIR"),
        ("PIXDEPOT_DATADIR", "PIXDEPOT_DATA_DIR"),
        ("PIXDEPOT_TOKN", "PIXDEPOT_TOKEN"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is not a setting\. Did you mean {meant}\?$"):
        Settings.from_env({name: "1"})


@pytest.mark.parametrize("name", ["PIXDEPOT_", "PIXDEPOT_QQQ"])
def test_a_name_like_no_setting_is_refused_with_all_there_are(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not a setting; the settings are: PIXDEPOT_BACKEND, "):
        Settings.from_env({name: "1"})


@pytest.mark.parametrize(("name", "option"), [("PIXDEPOT_HOST", "--host"), ("PIXDEPOT_PORT", "--port")])
def test_what_only_an_option_says_is_refused_with_the_option(name: str, option: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not a setting; use the option {option} "):
        Settings.from_env({name: "8080"})


def links(service: str, address: str) -> dict[str, str]:
    """Return the variables that Kubernetes injects for a Service with two ports."""
    name = service.upper().replace("-", "_")
    first, second = f"{name}_PORT_8080_TCP", f"{name}_PORT_53_UDP"
    return {
        f"{name}_SERVICE_HOST": address.strip("[]"),
        f"{name}_SERVICE_PORT": "8080",
        f"{name}_SERVICE_PORT_HTTP": "8080",
        f"{name}_SERVICE_PORT_DNS_UDP": "53",
        f"{name}_PORT": f"tcp://{address}:8080",
        first: f"tcp://{address}:8080",
        f"{first}_PROTO": "tcp",
        f"{first}_PORT": "8080",
        f"{first}_ADDR": address.strip("[]"),
        second: f"udp://{address}:53",
        f"{second}_PROTO": "udp",
        f"{second}_PORT": "53",
        f"{second}_ADDR": address.strip("[]"),
    }


@pytest.mark.parametrize("service", ["pixdepot", "pixdepot-web", "pixdepot-max-pixels"])
@pytest.mark.parametrize("address", ["10.96.0.17", "[fd00::17]"])
def test_what_a_service_beside_it_injects_is_passed_over(service: str, address: str) -> None:
    environ = {**links(service, address), "PIXDEPOT_MAX_PIXELS": "42"}
    assert Settings.from_env(environ) == Settings(max_pixels=42)
    with pytest.raises(SettingsError, match="PIXDEPOT_PUBLIC_ULR is not a setting"):
        Settings.from_env({**environ, "PIXDEPOT_PUBLIC_ULR": "https://images.example"})


def test_what_a_docker_link_injects_is_passed_over() -> None:
    link = {"PIXDEPOT_NAME": "/web/pixdepot", "PIXDEPOT_ENV_PIXDEPOT_BACKEND": "aws", "PIXDEPOT_ENV_LANG": "C"}
    assert Settings.from_env(link) == Settings()
    with pytest.raises(SettingsError, match="PIXDEPOT_ENV_LANG is not a setting"):
        Settings.from_env({"PIXDEPOT_ENV_LANG": "C"})


@pytest.mark.parametrize("name", [each for each in links("pixdepot", "10.96.0.17") if each != "PIXDEPOT_PORT"])
def test_a_name_like_those_with_another_value_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not a setting"):
        Settings.from_env({name: "https://images.example/?a=b"})


def test_what_others_read_is_left_alone() -> None:
    environ = {"PATH": "/bin", "pixdepot_backend": "x", "AWS_REGION": "", **dict.fromkeys(CLIENT_VARIABLES, "x")}
    assert Settings.from_env(environ) == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().backend = "aws"  # type: ignore[misc]


def test_every_setting_is_described_and_its_default_is_what_one_would_write() -> None:
    rows = described()
    assert [name for name, _, _ in rows] == [variable(each) for each in fields(Settings)]
    assert all(doc.endswith(".") for _, _, doc in rows)
    assert Settings.from_env({name: default for name, default, _ in rows}) == Settings()
