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


_URL = re.compile(  # of RFC 3986, what these settings may be
    r"(?P<scheme>https?)://(?P<user>[^/?#]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.~-]+)(?P<port>:[^/?#]*)?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.ASCII,
)


def _parts(text: str, *without: str) -> re.Match[str]:
    """Return an absolute http or https URL's parts, those it must not have left out. Raises ValueError."""
    parts = _URL.fullmatch(text) if re.fullmatch(r"[!-~]*", text) else None
    if parts is None:
        raise ValueError("takes an http:// or https:// URL with a host, such as https://images.example")
    port = parts["port"]
    if port is not None and not (re.fullmatch(r":[0-9]{1,5}", port) and 0 < int(port[1:]) < 65536):
        raise ValueError("takes a URL with a port from 1 to 65535, or without any")
    for name in ("user", "fragment", *without):
        if parts[name] is not None:
            raise ValueError(f"takes a URL without {_PARTS[name]}")
    return parts


_PARTS = {
    "user": "user name and password (user:password@)",
    "fragment": "a fragment (#...)",
    "query": "a query (?...), since paths are appended to it",
    "path": "a path, since an origin is a scheme, a host and a port",
}


def _url(text: str) -> str:
    """Read a URL to which paths are appended."""
    _parts(text, "query")
    return text.rstrip("/")


def _secure_url(text: str) -> str:
    parts = _parts(text)
    if parts["scheme"] != "https" and parts["host"] not in {"localhost", "127.0.0.1", "[::1]"}:
        raise ValueError("takes an https:// URL; http:// does on loopback only")
    return text


def _issuer(text: str) -> str:
    """Read an issuer's name, which is compared as it is: a URL in most cases (RFC 7519 section 4.1.1)."""
    if text.startswith(("http:", "https:")):
        _parts(text)
    elif not re.fullmatch(r"\S+", text):
        raise ValueError("takes the issuer exactly as tokens have it, without spaces")
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
        raise ValueError("takes 16 to 512 characters that a bearer token may have (RFC 6750)")
    return text


def _key_id(text: str) -> str:
    if not re.fullmatch(r"[!-.0-~]+", text):
        raise ValueError("takes printable ASCII characters without spaces and slashes")
    return text


def _key(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("takes printable ASCII characters without spaces")
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
        "Storage and database together: local (files, SQLite) or aws (S3, DynamoDB).",
    )
    storage: str = _setting(
        "",
        _one_of("local", "s3"),
        "Where the bytes of images are stored: local (files) or s3. Empty: as PIXDEPOT_BACKEND says.",
    )
    database: str = _setting(
        "",
        _one_of("sqlite", "dynamodb"),
        "Where records of images are stored: sqlite or dynamodb. Empty: as PIXDEPOT_BACKEND says.",
    )
    data_dir: Path = _setting(Path("pixdepot-data"), Path, "The directory for files and for the SQLite database.")
    disk_reserve: int = _setting(
        128 * 2**20,
        _count,
        "Free disk space of local storage, in bytes, that uploads never use. Below it uploads and edits answer "
        "507; views, deletes and sweeps go on. 0: no reserve.",
    )
    bucket: str = _setting("pixdepot", str, "The S3 bucket.")
    table: str = _setting("image-metadata", str, "The DynamoDB table for records.")
    index_table: str = _setting("image-index", str, "The DynamoDB table for lists.")
    s3_endpoint_url: str = _setting(
        "",
        _url,
        "S3's URL, where it is not AWS. Empty: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile; else AWS.",
    )
    s3_region: str = _setting(
        "",
        str,
        "S3's Region. Empty: AWS_DEFAULT_REGION, AWS_REGION or the profile; else us-east-1 where S3 is not AWS.",
    )
    s3_access_key_id: str = _setting(
        "", _key_id, "The access key ID for S3 alone. Empty: the credentials of the AWS SDK."
    )
    s3_secret_access_key: str = _setting("", _key, "The secret access key that belongs to it.")
    s3_public_endpoint_url: str = _setting(
        "", _url, "S3's URL as clients see it, where that is not the one the service uses. Empty: the same."
    )
    post_forms: bool = _setting(
        True,
        _flag,
        'Whether direct uploads may ask for the method "POST". 0 where the storage has no POST form (R2, Swift): '
        "the service then refuses that method. `pixdepot doctor` says which it is.",
    )
    public_url: str = _setting("", _url, "The service's URL as clients see it. Empty: as each request reached it.")
    cors_origins: tuple[str, ...] = _setting(
        (),
        _origins,
        "Origins of other sites whose pages may call the API, with commas between; http://localhost:* is every "
        "port. Empty: none.",
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
    quarantine_days: int = _setting(
        30,
        _positive,
        "Days that objects without a record stay in quarantine before they are deleted.",
    )
    auth: str = _setting(
        "open",
        _one_of("open", "jwt"),
        "Who a caller is: open (whoever the request says), jwt (whom a token names).",
    )
    jwt_issuer: str = _setting("", _issuer, "The issuer of tokens, exactly as their iss says it.")
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
