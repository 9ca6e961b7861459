"""What the commands for pictures share: which service is spoken to, as whom, and options they have in common."""

import base64
import getpass
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import click

import pixdepot

from .terminal import run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """A Pixdepot that runs somewhere, and whoever speaks to it; `user` is empty where nobody said."""

    url: str
    token: str
    user: str = ""

    def client(self) -> "pixdepot.Client":
        """Return a client of it. It writes as `writer`."""
        user = self.user if self.token else self.writer
        try:
            return pixdepot.Client(self.url, self.token or None, user_id=user or None, trust_env=True)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="'--url'") from error

    @property
    def writer(self) -> str:
        """Return who writes: the user that was named, or the token's, or whoever is logged in on this machine."""
        try:
            return self.user or (_subject(self.token) if self.token else getpass.getuser())
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise click.UsageError("The user ID is unknown: set it with --user.") from error


def _subject(token: str) -> str:
    """Return whom a token is about: the service verifies it, here it only tells what to look for."""
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def reading(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options --url and --token, and as `service` what they say.

    Its other options have to be text, in UTF-8, unless they are paths.
    """

    @click.option(
        "--url",
        envvar="PIXDEPOT_URL",
        default="http://127.0.0.1:8080",
        show_default=True,
        show_envvar=True,
        help="URL of the service.",
    )
    @click.option("--token", envvar="PIXDEPOT_TOKEN", default="", show_envvar=True, help="Bearer token.")
    @wraps(command)
    def with_service(*args: Any, url: str, token: str, **options: Any) -> T:
        if not re.fullmatch(r"[\x21-\x7e]*", token):
            raise click.BadParameter(
                "A token contains printable ASCII characters only, without spaces.", param_hint="'--token'"
            )
        for parameter in click.get_current_context().command.params:
            _check_text(parameter, {**options, "url": url, "token": token}.get(parameter.name or ""))
        return command(*args, service=Service(url, token), **options)

    return with_service


def _check_text(parameter: click.Parameter, value: object) -> None:
    """Raise BadParameter where a value is not UTF-8: no service can be sent it. Paths may be anything."""
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and not isinstance(parameter.type, click.Path):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise click.BadParameter("The value is not valid UTF-8.", param=parameter) from error


def writing(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options of `reading`, and --user: `service` tells who writes."""

    @click.option(
        "--user",
        default="",
        help="User ID to act as when the service runs without tokens. [default: the login name]",
    )
    @reading
    @wraps(command)
    def with_user(*args: Any, user: str, service: Service, **options: Any) -> T:
        return command(*args, service=replace(service, user=user), **options)

    return with_user


def talk(work: Coroutine[Any, Any, T]) -> T:
    """Run what speaks to a service to the end; what goes wrong with it is told in a line."""
    return run(work, pixdepot.PixdepotError)


def tags_option(told: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return the option --tags; the command gets them apart, and None where it is not given."""

    def parted(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(each.strip() for each in value.split(",") if each.strip())

    return click.option("--tags", metavar="TAG,TAG", callback=parted, help=told)


visibility_option = click.option(
    "--visibility",
    type=click.Choice(["private", "public"]),
    help="Who can view an image when the service runs with tokens: its owner, or everyone.",
)
