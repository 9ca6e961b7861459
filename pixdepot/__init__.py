"""Pixdepot's async client, and the `pixdepot` command.

    import pixdepot

    async with pixdepot.Client("http://127.0.0.1:8080", user_id="ada") as client:
        image = await client.upload("lake.jpg", title="At the lake")

`Client` says what it does; `pixdepot.errors` draws what can go wrong.
"""

from typing import TYPE_CHECKING, Any

from .errors import (
    APIError,
    Conflict,
    ConnectionFailed,
    DigestMismatch,
    Forbidden,
    Gone,
    InvalidImage,
    InvalidRequest,
    NotFound,
    PixdepotError,
    PreconditionFailed,
    ServerError,
    SourceChanged,
    StorageRefused,
    TimedOut,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownFormat,
    UnreadableAnswer,
    UnsupportedType,
)
from .model import (
    Deleted,
    Image,
    Link,
    LinkedImage,
    NewImage,
    Page,
    Progress,
    Source,
    Uploaded,
    Variant,
    VariantName,
    Visibility,
)

if TYPE_CHECKING:
    from .client import Client
    from .lists import Images
else:

    def __getattr__(name: str) -> Any:
        """Load the client, and aiohttp with it, where it is first asked for: most commands never ask."""
        if name in {"Client", "Images"}:
            from . import client, lists

            return client.Client if name == "Client" else lists.Images
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "APIError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Deleted",
    "DigestMismatch",
    "Forbidden",
    "Gone",
    "Image",
    "Images",
    "InvalidImage",
    "InvalidRequest",
    "Link",
    "LinkedImage",
    "NewImage",
    "NotFound",
    "Page",
    "PixdepotError",
    "PreconditionFailed",
    "Progress",
    "ServerError",
    "Source",
    "SourceChanged",
    "StorageRefused",
    "TimedOut",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnknownFormat",
    "UnreadableAnswer",
    "UnsupportedType",
    "Uploaded",
    "Variant",
    "VariantName",
    "Visibility",
]
