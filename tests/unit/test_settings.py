"""Settings come from the environment, and a slip of the pen stops the service before it starts."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from service.settings import CLIENT_VARIABLES, Settings, SettingsError, described, variable

NUMBERS = ["max_image_bytes", "max_pixels", "upload_ttl", "url_ttl", "sweep_interval"]
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
        ("cors_origins", ",", ()),
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
        ("allow_open_auth", "on please"),
        ("allow_open_auth", "2"),
        ("cors_origins", "app.example"),
        ("cors_origins", "https://a.example https://b.example"),
        ("cors_origins", "https://a.example/app"),
        ("cors_origins", "https://a.example,null"),
        ("cors_origins", "https://*.example"),
        ("cors_origins", "https://"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^PIXDEPOT_{name.upper()} takes "):
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


@pytest.mark.parametrize("name", ["PIXDEPOT_MAX_IMAGE_BYTE", "PIXDEPOT_", "PIXDEPOT_backend", "PIXDEPOT_DATA-DIR"])
def test_a_name_nobody_reads_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is not a setting; the settings are: PIXDEPOT_BACKEND"):
        Settings.from_env({name: "1"})


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
