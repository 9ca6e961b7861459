"""What is done with images that are there: listing, changing and deleting them, and links to them."""

import sys
from dataclasses import asdict
from typing import Any, Literal

import click

import pixdepot

from .connection import Service, reading, tags_option, talk, visibility_option, writing
from .terminal import Tell, printing


@click.command()
@click.option("--user", "user_id", help="Only this user's.")
@tags_option("Only those with all of these tags, with commas between.")
@click.option("--any-tag", is_flag=True, help="Those with any of the tags.")
@click.option("--title", help="Only those with this in their title, in any case.")
@click.option("--from", "date_from", metavar="DATE", help="Only from this day or instant on (ISO 8601).")
@click.option("--to", "date_to", metavar="DATE", help="Only up to this day, which is included, or instant.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="No more than so many. By default all.")
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
@click.option("--yes", is_flag=True, help="Do not ask.")
@writing
@printing
def rm(image_ids: tuple[str, ...], yes: bool, service: Service, tell: Tell) -> None:
    """Delete images of one's own, for good. On a terminal it asks first."""
    if sys.stdin.isatty() and not yes:
        several = f"{len(image_ids)} images" if len(image_ids) > 1 else image_ids[0]
        click.confirm(f"Delete {several} for good?", abort=True, err=True)

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
@click.option("--title", help="A new title.")
@click.option("--description", help="A new description; empty for none.")
@tags_option("Other tags in place of those it has, with commas between; empty for none.")
@visibility_option
@writing
@printing
def edit(image_id: str, service: Service, tell: Tell, **changes: Any) -> None:
    """Change what is said about an image of one's own; what is left out stays as it is."""
    said = {name: value for name, value in changes.items() if value is not None}
    if not said:
        raise click.UsageError("Say what to change: --title, --description, --tags or --visibility.")

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
    help="Which picture of it.",
)
@reading
@printing
def sign(image_id: str, variant: pixdepot.VariantName, service: Service, tell: Tell) -> None:
    """Print a link to an image, for anyone who has it, until it expires."""

    async def work() -> pixdepot.Link:
        async with service.client() as client:
            return await client.link(image_id, variant)

    link = talk(work())
    tell({"image_id": image_id, "variant": variant, **asdict(link)}, link.url)
