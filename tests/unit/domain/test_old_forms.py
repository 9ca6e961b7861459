"""What versions before this one have signed and stored is still understood."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from service.domain.errors import Forbidden
from service.domain.fingerprints import DETAILS, EXPECTED, fingerprint, matches
from service.domain.model import Details, Expected
from service.local.links import LinkSigner

SECRET = bytes(range(32))
ENDS = datetime(2025, 9, 15, 12, tzinfo=UTC)
KEY = "uploads/0199"
# Made by the first version that had links, and by the last one whose links told no version.
FIRST_GET = (
    "/storage/uploads/0199?expires=1757937600.0&type=image%2Fpng&disposition=inline%3"
    "B%20filename%3D%22a%20b.png%22"
    "&signature=-yhj3ddOvJqDCTahIgQZTF9harVd5lLMZTwxJEDzTn4"
)
LAST_GET = (
    "/storage/uploads/0199?disposition=inline%3B%20filename%3D%22a%20b.png%22&expires"
    "=1757937600.0&type=image%2Fpng"
    "&signature=ebfafb9951dc9e89950c7b7111e7f323593ec91aeadcf9114a1c51d4296f804e"
)
FIRST_PUT = (
    "/storage/uploads/0199?expires=1757937600.0&type=image%2Fpng&length=9&sha256="
    "&signature=DlsLSJUZAzhKhFyq1HNkfMODZAvrAVgTyhqsPYST9Ms"
)
LAST_PUT = (
    "/storage/uploads/0199?expires=1757937600.0&length=9&sha256=&type=image%2Fpng"
    "&signature=88993cb724b5405707fa772ee586f7f309bab0e140e94c349389827436960a36"
)
POLICY = "WyJ1cGxvYWRzLzAxOTkiLCAiaW1hZ2UvcG5nIiwgOSwgOSwgbnVsbCwgIjE3NTc5Mzc2MDAuMCJd"
FIRST_POST = "b14AaFH06R63yv1tyv2S_2HT6bzF7g6CA9cU7RVwnB0"
LAST_POST = "7584f919d24c676de061322f09f4c120ca9708eb0b9e9767bfd2d8fb1657e324"
PUT_HEADERS = {"content-type": "image/png", "content-length": "9", "if-none-match": "*"}

DETAILS_OF_ALL = Details("ada", "A photo", "photo.jpg", "Two\nlines", ("a", "ä"), "public")
EXPECTED_OF_ALL = Expected("POST", "image/png", 9, "ab" * 32, strip_location=True)


@pytest.fixture
def signer() -> LinkSigner:
    return LinkSigner(SECRET, lambda: ENDS - timedelta(seconds=1))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


@pytest.mark.parametrize("url", [FIRST_GET, LAST_GET])
def test_a_link_that_tells_no_version_opens_its_object_and_no_other(signer: LinkSigner, url: str) -> None:
    query = query_of(url)
    assert signer.check_download(KEY, query).disposition == 'inline; filename="a b.png"'
    refused = [{**query, "type": "text/html"}, {**query, "version": "2"}, {**query, "signature": ""}]
    for each in refused:
        with pytest.raises(Forbidden, match="signature"):
            signer.check_download(KEY, each)
    with pytest.raises(Forbidden, match="signature"):
        signer.check_download(KEY + "0", query)
    with pytest.raises(Forbidden, match="expired"):
        LinkSigner(SECRET, lambda: ENDS).check_download(KEY, query)


@pytest.mark.parametrize("url", [FIRST_PUT, LAST_PUT])
def test_an_upload_link_that_tells_no_version_takes_its_bytes(signer: LinkSigner, url: str) -> None:
    assert signer.check_put(KEY, query_of(url), PUT_HEADERS).most == 9
    with pytest.raises(Forbidden, match="signature"):
        signer.check_put(KEY, {**query_of(url), "length": "10"}, PUT_HEADERS)
    with pytest.raises(Forbidden, match="signature"):
        signer.check_download(KEY, query_of(url))


@pytest.mark.parametrize("signature", [FIRST_POST, LAST_POST])
def test_a_form_that_tells_no_version_takes_its_bytes(signer: LinkSigner, signature: str) -> None:
    form = {"key": KEY, "Content-Type": "image/png", "policy": POLICY, "signature": signature}
    assert signer.check_post(form).most == 9
    with pytest.raises(Forbidden, match="signature"):
        signer.check_post({**form, "policy": POLICY[:-4] + "AAAA"})


def test_links_tell_their_version(signer: LinkSigner) -> None:
    put = signer.upload(KEY, Expected("PUT", "image/png", 9), 9, ENDS)
    get = signer.downloads(ENDS).url(KEY, "image/png", "inline")
    assert {query_of(put.url)["version"], query_of(get)["version"]} == {"2"}


FINGERPRINTS = {  # as the last version without one made them
    (
        "upload_image",
        DETAILS_OF_ALL,
        EXPECTED_OF_ALL,
    ): "1171848b93450996b0a32abee3b555871600b982a643702295146de376602781",
    (
        "begin_upload",
        Details("ada", "t", "f.png"),
        Expected("PUT", "image/png"),
    ): "96fe54ca637f4cfe589528c8cdb46bfe01415d51cc6c6fe314a1d9171dcbbbc8",
}


@pytest.mark.parametrize("request_", FINGERPRINTS, ids=lambda request: request[0])
def test_a_fingerprint_that_tells_no_version_is_of_its_request_alone(
    request_: tuple[str, Details, Expected],
) -> None:
    operation, details, expected = request_
    assert matches(FINGERPRINTS[request_], operation, details, expected)
    assert not matches(FINGERPRINTS[request_], operation, replace(details, title="Other"), expected)
    assert not matches(FINGERPRINTS[request_], "another", details, expected)


@pytest.mark.parametrize("request_", FINGERPRINTS, ids=lambda request: request[0])
def test_a_fingerprint_is_of_its_request_alone(request_: tuple[str, Details, Expected]) -> None:
    operation, details, expected = request_
    found = fingerprint(operation, details, expected)
    assert matches(found, operation, details, expected)
    others = [replace(details, **{name: "other"}) for name in DETAILS]
    assert not any(matches(found, operation, each, expected) for each in others)
    others_expected = [replace(expected, **{name: "other"}) for name in EXPECTED]  # type: ignore[arg-type]
    assert not any(matches(found, operation, details, each) for each in others_expected)


def test_what_a_later_version_adds_changes_no_fingerprint_of_who_does_not_say_it() -> None:
    # Literal, so that a change of the document cannot pass.
    assert (
        fingerprint("begin_upload", Details("ada", "t", "f.png"), Expected("PUT", "image/png"))
        == "2:cbe83fc0fea0667c38d3b049680048c5fafcda9b88568079bbb213bbb7738a42"
    )


def test_every_field_of_a_request_is_in_its_fingerprint() -> None:
    assert [each.name for each in fields(Details)] == list(DETAILS)
    assert [each.name for each in fields(Expected)] == list(EXPECTED)
