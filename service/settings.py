"""The only reader of the environment."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any


class SettingsError(ValueError):
    """A setting has a value that cannot be meant. The message names it and what it takes."""


_WEEK = 7 * 24 * 3600  # seconds


def _positive(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,17}", text):
        raise ValueError("takes a whole number above 0")
    return int(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("takes a whole number, 0 for none")
    return int(text)


def _seconds(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (seconds := _positive(text)) > most:
            raise ValueError(f"takes {most:,} seconds at most, since S3 signs nothing for more than 7 days")
        return seconds

    return read


def _flag(text: str) -> bool:
    if text.lower() not in {"1", "true", "yes", "0", "false", "no"}:
        raise ValueError("takes 1 or 0")
    return text.lower() in {"1", "true", "yes"}


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"takes one of: {', '.join(choices)}")
        return text

    return read


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("takes an http:// or https:// URL")
    return text.rstrip("/")


def _secure_url(text: str) -> str:
    if not re.fullmatch(r"https://[^\s/]\S*|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/\S*)?", text):
        raise ValueError("takes an https:// URL; http:// does on loopback only")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(each.strip().rstrip("/").lower() for each in text.split(",") if each.strip())
    if not all(re.fullmatch(r"https?://[a-z0-9.:\[\]-]+|\*", each) for each in origins):
        raise ValueError("takes origins such as https://app.example, with commas between")
    return origins


def _secret(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,512}", text):
        raise ValueError("takes 16 to 512 characters that a bearer token may have (RFC 6750)")
    return text


def _setting(default: Any, read: Callable[[str], Any], doc: str) -> Any:
    return field(default=default, repr=read is not _secret, metadata={"read": read, "doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. Each field is read from `PIXDEPOT_` and its name in capitals."""

    backend: str = _setting(
        "local", _one_of("local", "aws"), "Where images are kept: local (SQLite, files) or aws (S3, DynamoDB)."
    )
    data_dir: Path = _setting(Path("pixdepot-data"), Path, "The local backend's one directory.")
    bucket: str = _setting("pixdepot", str, "The aws backend's S3 bucket.")
    table: str = _setting("image-metadata", str, "The aws backend's DynamoDB table.")
    index_table: str = _setting("image-index", str, "The aws backend's DynamoDB table for lists.")
    s3_public_endpoint_url: str = _setting(
        "", _url, "S3's URL as clients see it, where that is not the one the service uses. Empty: the same."
    )
    public_url: str = _setting("", _url, "The service's URL as clients see it. Empty: as each request reached it.")
    cors_origins: tuple[str, ...] = _setting(
        (), _origins, "Origins of other sites whose pages may call the API, with commas between. Empty: none."
    )
    max_image_bytes: int = _setting(10 * 2**20, _positive, "The largest picture, in bytes.")
    max_pixels: int = _setting(2**26, _positive, "The most pixels of a picture, or of each frame of an animation.")
    body_memory: int = _setting(
        64 * 2**20, _positive, "The most memory for pictures that are being uploaded, all together, in bytes."
    )
    decode_memory: int = _setting(
        128 * 2**20,
        _positive,
        "The most memory for decoding pictures, in bytes; a picture that takes more is decoded alone.",
    )
    upload_ttl: int = _setting(900, _seconds(_WEEK), "How long a direct upload's URL works, in seconds.")
    url_ttl: int = _setting(
        3600,
        _seconds(_WEEK // 2),
        "How long a picture's URL works at least, in seconds; it is the same URL for as long.",
    )
    variant_format: str = _setting(
        "webp",
        _one_of("webp", "avif"),
        "What the smaller pictures are encoded as: webp, or avif (smaller, slower).",
    )
    strip_location: bool = _setting(
        False, _flag, "1 takes the place out of a picture where an upload does not say otherwise."
    )
    read_budget: int = _setting(
        1000, _positive, "The most rows a list reads for one page; then the page comes short, with a cursor."
    )
    rate_limit: int = _setting(
        0, _count, "The most writes of one user in a minute, as each process counts them. 0: no limit."
    )
    user_quota_bytes: int = _setting(
        0, _count, "The most bytes that one user's published images may take. 0: no quota."
    )
    sweep_interval: int = _setting(60, _positive, "Seconds between two rounds of the background sweep.")
    auth: str = _setting(
        "open",
        _one_of("open", "jwt"),
        "Who a caller is: open (whoever the request says), jwt (whom a token names).",
    )
    jwt_issuer: str = _setting("", str, "The issuer of tokens, exactly as their iss says it.")
    jwt_audience: str = _setting("", str, "What tokens must have among their aud.")
    jwks_url: str = _setting("", _secure_url, "Where the issuer has its keys, as a JWK Set (RFC 7517).")
    metrics_token: str = _setting(
        "", _secret, "The bearer token for /metrics. Empty: open to all with open auth, to nobody with tokens."
    )
    allow_open_auth: bool = _setting(False, _flag, "1 lets open auth serve an address that is not loopback.")

    def __post_init__(self) -> None:
        """Raise SettingsError where one setting needs another."""
        needed = ("jwt_issuer", "jwt_audience", "jwks_url")
        missing = [f"PIXDEPOT_{name.upper()}" for name in needed if not getattr(self, name)]
        if self.auth == "jwt" and missing:
            raise SettingsError(f"PIXDEPOT_AUTH=jwt needs {', '.join(missing)}.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings found in `environ`; an empty value counts as not set.

        Raises SettingsError for a value that cannot be meant, for one that is missing beside another, and for a
        name nobody reads (a slip of the pen).
        """
        known = {variable(each): each for each in fields(cls)}
        given = {name: text for name, text in environ.items() if name.startswith("PIXDEPOT_") and text}
        if unknown := sorted(given.keys() - known.keys() - CLIENT_VARIABLES):
            raise SettingsError(f"{unknown[0]} is not a setting; the settings are: {', '.join(known)}.")
        return cls(**{known[name].name: _read(known[name], text) for name, text in given.items() if name in known})

    def environment(self) -> dict[str, str]:
        """Return the variables that `from_env` reads these settings from; what is as by default is left out."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        return {variable(each): _written(value) for each, value in values if value != each.default}


CLIENT_VARIABLES = frozenset({"PIXDEPOT_URL", "PIXDEPOT_TOKEN"})


def variable(setting: "Field[Any]") -> str:
    """Return the environment variable a field of Settings is read from."""
    return f"PIXDEPOT_{setting.name.upper()}"


def _read(setting: "Field[Any]", text: str) -> Any:
    try:
        return setting.metadata["read"](text)
    except ValueError as error:
        raise SettingsError(f"{variable(setting)} {error}.") from error


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def described() -> list[tuple[str, str, str]]:
    """Return every setting as its variable, its default in the form it is written in, and what it does."""
    rows = []
    for each in fields(Settings):
        default = each.default if each.default is not MISSING else ""
        rows.append((variable(each), _written(default), each.metadata["doc"]))
    return rows
