"""The only reader of the environment."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class SettingsError(ValueError):
    """A setting has a value that cannot be meant. The message names it and what it takes."""


_WEEK = 7 * 24 * 3600  # seconds


def _positive(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,17}", text):
        raise ValueError("must be a whole number above 0")
    return int(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("must be a whole number; 0 means none")
    return int(text)


def _seconds(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (seconds := _positive(text)) > most:
            raise ValueError(f"must be at most {most:,} seconds, because S3 links expire after at most 7 days")
        return seconds

    return read


def _flag(text: str) -> bool:
    if text.lower() not in {"1", "true", "yes", "0", "false", "no"}:
        raise ValueError("must be 1 or 0")
    return text.lower() in {"1", "true", "yes"}


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return read


_URL = re.compile(  # of RFC 3986, what these settings may be
    r"(?P<scheme>https?)://(?P<user>[^/?#]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.~-]+)(?P<port>:[^/?#]*)?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.ASCII,
)


def _parts(text: str, *without: str) -> re.Match[str]:
    """Return an absolute http or https URL's parts, those it must not have left out. Raises ValueError."""
    parts = _URL.fullmatch(text) if re.fullmatch(r"[!-~]*", text) else None
    if parts is None:
        raise ValueError("must be an http:// or https:// URL with a host, such as https://images.example")
    port = parts["port"]
    if port is not None and not (re.fullmatch(r":[0-9]{1,5}", port) and 0 < int(port[1:]) < 65536):
        raise ValueError("must be a URL with a port from 1 to 65535, or without a port")
    for name in ("user", "fragment", *without):
        if parts[name] is not None:
            raise ValueError(f"must be a URL without {_PARTS[name]}")
    return parts


_PARTS = {
    "user": "user name and password (user:password@)",
    "fragment": "a fragment (#...)",
    "query": "a query (?...), because paths are appended to it",
    "path": "a path, because an origin is a scheme, a host and a port",
}


def _url(text: str) -> str:
    """Read a URL to which paths are appended."""
    _parts(text, "query")
    return text.rstrip("/")


def _secure_url(text: str) -> str:
    parts = _parts(text)
    if parts["scheme"] != "https" and parts["host"] not in {"localhost", "127.0.0.1", "[::1]"}:
        raise ValueError("must be an https:// URL; http:// is allowed on loopback only")
    return text


def _issuer(text: str) -> str:
    """Read an issuer's name, which is compared as it is: a URL in most cases (RFC 7519 section 4.1.1)."""
    if text.startswith(("http:", "https:")):
        _parts(text)
    elif not re.fullmatch(r"\S+", text):
        raise ValueError("must be the issuer exactly as in the tokens, without spaces")
    return text


def _origins(text: str) -> tuple[str, ...]:
    """Read origins, as browsers send them: without the port that is the scheme's own (RFC 6454 section 6.2).

    The port may be `*`, as in S3's CORS rules: every port that an origin names.
    """
    origins = []
    for each in (each.strip().rstrip("/").lower() for each in text.split(",") if each.strip()):
        plain = re.sub(r":\*$", ":1", each)
        own = {"https": ":443", "http": ":80"}[_parts(plain, "path", "query")["scheme"]] if each != "*" else ""
        origins.append(each.removesuffix(own))
    return tuple(origins)


def _secret(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,512}", text):
        raise ValueError("must be 16 to 512 characters that RFC 6750 allows in a bearer token")
    return text


def _key_id(text: str) -> str:
    if not re.fullmatch(r"[!-.0-~]+", text):
        raise ValueError("must be printable ASCII characters without spaces and slashes")
    return text


def _key(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable ASCII characters without spaces")
    return text


_SECRETS = (_secret, _key)  # what reads a value that no log and no error may show


def _setting(default: Any, read: Callable[[str], Any], doc: str) -> Any:
    return field(default=default, repr=read not in _SECRETS, metadata={"read": read, "doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. Each field is read from `PIXDEPOT_` and its name in capitals."""

    backend: str = _setting(
        "local",
        _one_of("local", "aws"),
        "Storage and database: local (files and SQLite) or aws (S3 and DynamoDB).",
    )
    storage: str = _setting(
        "",
        _one_of("local", "s3"),
        "Storage of the images: local (files) or s3. Empty: set by PIXDEPOT_BACKEND.",
    )
    database: str = _setting(
        "",
        _one_of("sqlite", "dynamodb"),
        "Database of the image records: sqlite or dynamodb. Empty: set by PIXDEPOT_BACKEND.",
    )
    data_dir: Path = _setting(Path("pixdepot-data"), Path, "Directory of the image files and the SQLite database.")
    disk_reserve: int = _setting(
        128 * 2**20,
        _count,
        "Free disk space in bytes that uploads to local storage never use. Below it, uploads and edits fail with "
        "507; views, deletes and sweep still work. 0: no reserve.",
    )
    bucket: str = _setting("pixdepot", str, "Name of the S3 bucket.")
    table: str = _setting("image-metadata", str, "Name of the DynamoDB table for image records.")
    index_table: str = _setting("image-index", str, "Name of the DynamoDB table for the list index.")
    s3_endpoint_url: str = _setting(
        "",
        _url,
        "URL of the S3 API if it is not AWS. Empty: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile, "
        "otherwise AWS.",
    )
    s3_region: str = _setting(
        "",
        str,
        "Region of the S3 bucket. Empty: AWS_DEFAULT_REGION, AWS_REGION or the profile, otherwise us-east-1 if S3 "
        "is not AWS.",
    )
    s3_access_key_id: str = _setting("", _key_id, "Access key ID for S3 only. Empty: the AWS SDK's credentials.")
    s3_secret_access_key: str = _setting("", _key, "Secret access key for PIXDEPOT_S3_ACCESS_KEY_ID.")
    s3_public_endpoint_url: str = _setting(
        "",
        _url,
        "URL under which clients reach S3, if it differs from the server's. Empty: the same URL.",
    )
    post_forms: bool = _setting(
        True,
        _flag,
        '1 offers the method "POST" for direct uploads. Set 0 if the storage does not support POST forms (R2, '
        "Swift): the server then rejects this method. `pixdepot doctor` reports whether the storage supports it.",
    )
    public_url: str = _setting(
        "", _url, "URL under which clients reach the service. Empty: the URL of each request."
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        _origins,
        "Origins of other sites whose pages may call the API (CORS), separated by commas; http://localhost:* "
        "allows every port. Empty: none.",
    )
    max_image_bytes: int = _setting(10 * 2**20, _positive, "Maximum size of an image, in bytes.")
    max_pixels: int = _setting(
        2**26, _positive, "Maximum number of pixels of an image, or of each frame of an animation."
    )
    body_memory: int = _setting(
        64 * 2**20, _positive, "Maximum memory for all images being uploaded at the same time, in bytes."
    )
    decode_memory: int = _setting(
        128 * 2**20,
        _positive,
        "Maximum memory for decoding images, in bytes. An image that needs more is decoded alone.",
    )
    upload_ttl: int = _setting(900, _seconds(_WEEK), "Lifetime of direct upload URLs, in seconds.")
    url_ttl: int = _setting(
        3600,
        _seconds(_WEEK // 2),
        "Lifetime window of download URLs, in seconds. A URL stays identical within a window and remains valid for "
        "at least one full window after it.",
    )
    variant_format: str = _setting(
        "webp",
        _one_of("webp", "avif"),
        "Format of the variants: webp, or avif (smaller files, slower encoding).",
    )
    strip_location: bool = _setting(
        False, _flag, "1 removes the GPS location from images by default. An upload's strip_location overrides it."
    )
    read_budget: int = _setting(
        1000,
        _positive,
        "Maximum number of index rows that a list reads for one page. Beyond it, the page has fewer images and a "
        "cursor.",
    )
    rate_limit: int = _setting(
        0, _count, "Maximum number of writes per user and minute, counted by each process. 0: no limit."
    )
    user_quota_bytes: int = _setting(
        0, _count, "Maximum total size of one user's published images, in bytes. 0: no quota."
    )
    sweep_interval: int = _setting(60, _positive, "Interval of the background sweep, in seconds.")
    quarantine_days: int = _setting(
        30,
        _positive,
        "Days until objects without a record are deleted from quarantine.",
    )
    auth: str = _setting(
        "open",
        _one_of("open", "jwt"),
        "Authentication: open (the request states its user_id), or jwt (a token identifies the user).",
    )
    jwt_issuer: str = _setting("", _issuer, "Issuer of tokens, exactly as in their claim iss.")
    jwt_audience: str = _setting("", str, "Audience that the claim aud of tokens must contain.")
    jwks_url: str = _setting("", _secure_url, "URL of the issuer's keys, a JWK Set (RFC 7517).")
    metrics_token: str = _setting(
        "", _secret, "Bearer token for /metrics. Empty: /metrics is public with open auth, and disabled with jwt."
    )
    allow_open_auth: bool = _setting(False, _flag, "1 allows open auth on an address that is not loopback.")

    def __post_init__(self) -> None:
        """Raise SettingsError where one setting needs another."""
        needed = ("jwt_issuer", "jwt_audience", "jwks_url")
        missing = [f"PIXDEPOT_{name.upper()}" for name in needed if not getattr(self, name)]
        if self.auth == "jwt" and missing:
            raise SettingsError(f"PIXDEPOT_AUTH=jwt needs {', '.join(missing)}.")
        if bool(self.s3_access_key_id) != bool(self.s3_secret_access_key):
            raise SettingsError("Set PIXDEPOT_S3_ACCESS_KEY_ID and PIXDEPOT_S3_SECRET_ACCESS_KEY together.")

    @property
    def uses_s3(self) -> bool:
        """Whether the bytes of images are stored in S3; otherwise in files below `data_dir`."""
        return self.storage == "s3" if self.storage else self.backend == "aws"

    @property
    def uses_dynamodb(self) -> bool:
        """Whether records are stored in DynamoDB; otherwise in SQLite in `data_dir`."""
        return self.database == "dynamodb" if self.database else self.backend == "aws"

    def on(self, backend: str) -> "Settings":
        """Return these settings with both storage and database of one backend, "local" or "aws"."""
        return replace(self, backend=backend, storage="", database="")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings found in `environ`; an empty value counts as not set.

        Raises SettingsError for a value that cannot be meant, for one that is missing beside another, and for a
        name nobody reads (a slip of the pen); what links to Services of that name inject is none.
        """
        known = {variable(each): each for each in fields(cls)}
        given = {name: text for name, text in environ.items() if name.startswith("PIXDEPOT_") and text}
        unknown = {name: text for name, text in given.items() if name not in known.keys() | CLIENT_VARIABLES}
        if mistyped := sorted(unknown.keys() - injected(unknown)):
            raise SettingsError(_not_a_setting(mistyped[0], [*known, *sorted(CLIENT_VARIABLES)]))
        return cls(**{known[name].name: _read(known[name], text) for name, text in given.items() if name in known})

    def environment(self) -> dict[str, str]:
        """Return the variables that `from_env` reads these settings from; what is as by default is left out."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        return {variable(each): _written(value) for each, value in values if value != each.default}


def injected(environ: Mapping[str, str]) -> set[str]:
    """Return the names of the variables that links inject: shaped as theirs, name and value.

    Kubernetes does so for every Service of a namespace: of `pixdepot-web` come PIXDEPOT_WEB_PORT and others
    (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables). Docker's legacy links
    do, too, with a name, and the other container's own variables (https://docs.docker.com/engine/network/links/).
    """
    names = {
        name
        for name, text in environ.items()
        if any(re.search(end, name) and re.fullmatch(value, text) for end, value in _INJECTED)
    }
    linked = tuple(f"{name.removesuffix('NAME')}ENV_" for name in names if name.endswith("_NAME"))
    return names | {name for name in environ if name.startswith(linked)}


_ADDRESS, _PORT, _PROTOCOL = r"[0-9.]+|\[?[0-9a-f:.]+\]?", r"[0-9]{1,5}", r"tcp|udp|sctp"
_ENDPOINT = rf"({_PROTOCOL})://({_ADDRESS}):{_PORT}"
_ONE = r"_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)"
_INJECTED = (  # how a name ends, and what its value is
    (r"_SERVICE_HOST$", _ADDRESS),
    (r"_SERVICE_PORT(_[A-Z0-9_]+)?$", _PORT),
    (r"_PORT$", _ENDPOINT),
    (rf"{_ONE}$", _ENDPOINT),
    (rf"{_ONE}_PROTO$", _PROTOCOL),
    (rf"{_ONE}_PORT(_START|_END)?$", _PORT),
    (rf"{_ONE}_ADDR$", _ADDRESS),
    (r"_NAME$", r"(/[\w.-]+){2}"),  # Docker's: the container's name, and that of the link
)
_OPTIONS = {"PIXDEPOT_HOST": "--host", "PIXDEPOT_PORT": "--port"}  # which are a process's own affair


def _not_a_setting(name: str, known: list[str]) -> str:
    if option := _OPTIONS.get(name):
        return f"{name} is not a setting; use the option {option} of `pixdepot serve`."
    stem = "PIXDEPOT_"  # left out, so that what all have in common makes nothing alike
    words = [each.removeprefix(stem) for each in known]
    if near := get_close_matches(name.upper().removeprefix(stem), words, 1):
        return f"{name} is not a setting. Did you mean {stem}{near[0]}?"
    return f"{name} is not a setting; the settings are: {', '.join(known)}."


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
