"""What is done with images that are there: listing, changing and deleting them, and links to them."""

import sys
from dataclasses import asdict
from typing import Any, Literal

import click

import pixdepot

from .connection import Service, reading, tags_option, talk, visibility_option, writing
from .terminal import Tell, printing


@click.command()
@click.option("--user", "user_id", help="Only images of this user ID.")
@tags_option("Only images with all of these tags, separated by commas.")
@click.option("--any-tag", is_flag=True, help="Match images with any of the tags instead of all.")
@click.option("--title", help="Only images whose title contains this text, ignoring case.")
@click.option(
    "--from", "date_from", metavar="DATE", help="Only images created on or after this date or time (ISO 8601)."
)
@click.option(
    "--to", "date_to", metavar="DATE", help="Only images created on or before this date or time (ISO 8601)."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Maximum number of images. [default: all]")
@reading
@printing
def ls(
    any_tag: bool, tags: tuple[str, ...] | None, limit: int | None, service: Service, tell: Tell, **filters: Any
) -> None:
    """List images, newest first."""

    async def work() -> None:
        left = limit
        async with service.client() as client:
            match: Literal["all", "any"] = "any" if any_tag else "all"
            size = min(limit or 100, 100)
            async for image in client.images(tags=tags or (), tags_match=match, page_size=size, **filters):
                tell(_facts(image), _row(image))
                left = None if left is None else left - 1
                if left == 0:
                    return

    talk(work())


def _facts(image: pixdepot.Image) -> dict[str, Any]:
    facts = asdict(image)
    facts.pop("etag")
    return facts


def _row(image: pixdepot.Image) -> str:
    from rich.filesize import decimal

    tags = f"  [{', '.join(image.tags)}]" if image.tags else ""
    time = f"{image.created_at:%Y-%m-%d %H:%M}"
    return f"{image.image_id}  {time}  {decimal(image.file_size):>9}  {image.user_id}  {image.title}{tags}"


@click.command()
@click.argument("image_ids", nargs=-1, required=True, metavar="IMAGE_ID...")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@writing
@printing
def rm(image_ids: tuple[str, ...], yes: bool, service: Service, tell: Tell) -> None:
    """Permanently delete images you own.

    On a terminal, the command asks for confirmation.
    """
    if sys.stdin.isatty() and not yes:
        several = f"{len(image_ids)} images" if len(image_ids) > 1 else image_ids[0]
        click.confirm(f"Permanently delete {several}?", abort=True, err=True)

    async def work() -> list[pixdepot.Deleted]:
        async with service.client() as client:
            return await client.delete_many(list(dict.fromkeys(image_ids)))

    results = talk(work())
    for each in results:
        outcome, error = ("failed", str(each.error)) if each.error else ("deleted", None)
        facts = {"image_id": each.image_id, "outcome": outcome, "error": error}
        tell(facts, f"{outcome:8}  {each.image_id}  {error or ''}".rstrip())
    if any(each.error for each in results):
        sys.exit(1)


@click.command()
@click.argument("image_id")
@click.option("--title", help="New title.")
@click.option("--description", help="New description; an empty value removes it.")
@tags_option("New tags, separated by commas, that replace all present tags; an empty value removes them.")
@visibility_option
@writing
@printing
def edit(image_id: str, service: Service, tell: Tell, **changes: Any) -> None:
    """Edit the title, description, tags or visibility of an image.

    You must own the image. Options you omit leave the field unchanged.
    """
    said = {name: value for name, value in changes.items() if value is not None}
    if not said:
        raise click.UsageError("Nothing to change: use --title, --description, --tags or --visibility.")

    async def work() -> pixdepot.Image:
        async with service.client() as client:
            return await client.update(image_id, **said)

    image = talk(work())
    tell(_facts(image), _row(image))


@click.command()
@click.argument("image_id")
@click.option(
    "--variant",
    type=click.Choice(["original", "display", "thumb"]),
    default="original",
    show_default=True,
    help="Size of the image to link to.",
)
@reading
@printing
def sign(image_id: str, variant: pixdepot.VariantName, service: Service, tell: Tell) -> None:
    """Print a download link that works until it expires.

    Anyone who has the link can download the image, without a token.
    """

    async def work() -> pixdepot.Link:
        async with service.client() as client:
            return await client.link(image_id, variant)

    link = talk(work())
    tell({"image_id": image_id, "variant": variant, **asdict(link)}, link.url)
