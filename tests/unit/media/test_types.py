"""What pictures are called: one table of media types and extensions for every way in, and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixdepot import formats
from service.domain.errors import TypeMismatch
from service.media import IMAGE_TYPES, check_declared, declared_type, download_name

# ---------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("declared", "meant"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/jpg", "image/jpeg"),
        ("image/pjpeg", "image/jpeg"),
        ("IMAGE/JPEG; charset=x", "image/jpeg"),
        (" Image/Jpg ;q=1", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/x-png", "image/png"),
        ("image/apng", "image/png"),
        ("image/vnd.mozilla.apng", "image/png"),
        ("image/gif", "image/gif"),
        ("image/webp", "image/webp"),
        ("image/avif", "image/avif"),
        ("image/avif-sequence", "image/avif"),
        ("image/heic", "image/heic"),
        ("image/svg+xml", "image/svg+xml"),
        ("text/html", "text/html"),
        ("application/pdf", "application/pdf"),
        (None, None),
        ("", None),
        (";charset=x", None),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("application/x-www-form-urlencoded", None),
        ("application/x-download", None),
        ("image/*", None),
        ("image/unheard-of", None),
        ("jpeg", None),
        ("\0", None),
    ],
)
def test_a_declaration_means_a_type_or_nothing(declared: str | None, meant: str | None) -> None:
    assert declared_type(declared) == meant


@given(st.text(), st.text())
def test_any_declaration_means_a_type_or_nothing(declared: str, filename: str) -> None:
    for meant in (declared_type(declared), declared_type(declared, filename)):
        assert meant is None or "/" in meant


@pytest.mark.parametrize(
    ("filename", "content_type", "meant"),
    [
        ("photo.png", "image/png", None),
        ("PHOTO.PNG", "Image/x-png", None),
        ("photo.jfif", "image/jpeg", None),
        ("photo.heic", "image/heic", None),
        ("page.html", "text/html", None),
        ("photo.jpg", "image/png", "image/png"),
        ("photo", "image/png", "image/png"),
        ("", "image/png", "image/png"),
        ("photo.jpg", "text/html", "text/html"),
        ("photo.jpg", None, None),
    ],
)
def test_a_type_that_only_repeats_the_extension_declares_nothing(
    filename: str, content_type: str | None, meant: str | None
) -> None:
    assert declared_type(content_type, filename) == meant


@pytest.mark.parametrize("declared", ["image/jpeg", "image/jpg", "IMAGE/PJPEG;x=y", "", "image/*", None])
def test_what_agrees_or_declares_nothing_is_fine(declared: str | None) -> None:
    check_declared("image/jpeg", declared)


@pytest.mark.parametrize("declared", ["image/png", "image/x-png", "text/plain", "image/heic"])
def test_a_type_that_disagrees_is_refused_and_not_repeated(declared: str) -> None:
    with pytest.raises(TypeMismatch, match="image/jpeg") as refusal:
        check_declared("image/jpeg", declared)
    assert declared not in refusal.value.detail


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("filename", "content_type", "saved"),
    [
        ("photo.jpg", "image/jpeg", "photo.jpg"),
        ("PHOTO.JPEG", "image/jpeg", "PHOTO.JPEG"),
        ("photo.jfif", "image/jpeg", "photo.jfif"),
        ("photo.apng", "image/png", "photo.apng"),
        ("photo.png", "image/jpeg", "photo.jpg"),
        ("IMG_1.HEIC", "image/jpeg", "IMG_1.jpg"),
        ("logo.svg", "image/webp", "logo.webp"),
        ("photo", "image/gif", "photo.gif"),
        ("photo.", "image/gif", "photo.gif"),
        ("v1.0 final", "image/avif", "v1.0 final.avif"),
        ("page.html", "image/png", "page.html.png"),
        ("run.exe", "image/jpeg", "run.exe.jpg"),
        ("photo.jpg.php", "image/jpeg", "photo.jpg.php.jpg"),
        ("page.html. .", "image/png", "page.html.png"),
        (".png", "image/jpeg", "image.jpg"),
        (".jpg", "image/jpeg", ".jpg"),
        ("...", "image/jpeg", "image.jpg"),
        ("é" * 127, "image/jpeg", "é" * 125 + ".jpg"),
        ("x" * 251 + ".htm", "image/avif", "x" * 250 + ".avif"),
        ("写真.png", "image/jpeg", "写真.jpg"),
    ],
)
def test_a_download_has_the_extension_of_what_it_is(filename: str, content_type: str, saved: str) -> None:
    assert download_name(filename, content_type) == saved


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(sorted(IMAGE_TYPES)))
def test_any_name_gets_an_extension_of_its_type_and_keeps_it(filename: str, content_type: str) -> None:
    saved = download_name(filename, content_type)
    assert declared_type(content_type, saved) is None  # its extension says the type
    assert download_name(saved, content_type) == saved
    assert len(saved.encode()) <= max(255, len(filename.encode()))
    assert formats.download_name(filename, content_type) == saved  # the client's says the same


@pytest.mark.parametrize("extension", [".jpe", ".pjp", ".avifs", ".heif", ".tiff", ".ico", ".html", ".bmp", ".dng"])
@pytest.mark.parametrize("content_type", IMAGE_TYPES)
def test_the_client_knows_the_same_extensions(extension: str, content_type: str) -> None:
    assert formats.download_name(f"a{extension}", content_type) == download_name(f"a{extension}", content_type)


def test_the_client_leaves_names_of_formats_that_are_new_to_it() -> None:
    assert formats.download_name("a.png", "image/of-the-future") == "a.png"
