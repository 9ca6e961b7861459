"""JSON is read strictly, and a picture in it is the same picture however its body was cut into chunks."""

import base64
import json
import tracemalloc
from itertools import combinations

import pytest

from service.api.jsonbody import MAX_DEPTH, Base64Image, JsonBody, loads
from service.domain.errors import InvalidBase64, InvalidJson, PixdepotError, TooLarge
from tests.faults.bodies import KIB, MIB, Arrival, cut, expected, feed, read

PICTURE = bytes(range(256)) * 4
PICTURE_TEXT = base64.b64encode(PICTURE).decode()

REFUSED_DOCUMENTS = {
    "empty": b"",
    "blank": b" \n",
    "a bare word": b"picture",
    "truncated in an object": b'{"a": 1',
    "truncated in a string": b'{"a": "b',
    "truncated in an escape": b'"\\',
    "trailing text": b"{} x",
    "a second document": b"{}{}",
    "a trailing comma": b"[1,]",
    "single quotes": b"{'a': 1}",
    "a comment": b"{} // why",
    "an unescaped newline": b'"a\nb"',
    "an unknown escape": b'"\\q"',
    "a leading zero": b"01",
    "a plus sign": b"+1",
    "NaN": b"[NaN]",
    "Infinity": b"Infinity",
    "minus Infinity": b"[-Infinity]",
    "one level too many": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "one level too many, of both kinds": b'[{"a":' * 17 + b"1" + b"}]" * 17,
    "100,000 levels of lists": b"[" * 100_000,
    "100,000 levels of objects": b'{"a":' * 100_000,
    "the same key twice": b'{"a": 1, "a": 1}',
    "the same key twice, deep inside": b'[[{"b": {"a": 1, "a": 2}}]]',
    "the same key twice, spelled differently": b'{"a": 1, "\\u0061": 2}',
    "bad UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-8 cut off": '"é'.encode()[:-1],
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-16 without a mark": "{}".encode("utf-16-le"),
    "UTF-32": "{}".encode("utf-32"),
    "a lone high surrogate": b'"\\ud800"',
    "a lone low surrogate": b'["\\uDFFF"]',
    "a surrogate pair in the wrong order": b'"\\udc00\\ud800"',
    "a lone surrogate as a key": b'{"\\ud83d": 1}',
    "an integer of 65 bits": b"9223372036854775808",
    "a negative integer of 65 bits": b"-9223372036854775809",
    "an integer of a million digits": b"9" * 1_000_000,
    "a float beyond a double": b"1e999",
    "a negative float beyond a double": b"[-1e999]",
}

ACCEPTED_DOCUMENTS = {
    b" null\r\n\t": None,
    b"[9223372036854775807, -9223372036854775808, -0]": [2**63 - 1, -(2**63), 0],
    b"[1.5e3, 1e-999, 123456789012345678901234567890.0]": [1500.0, 0.0, 123456789012345678901234567890.0],
    b'{"a": {"a": 1}, "": [{"a": 2}]}': {"a": {"a": 1}, "": [{"a": 2}]},
    b'"\\ud83d\\ude00 \\\\ud800 \\u0000"': "\U0001f600 \\ud800 \0",
    '"\U0001f600 é \x7f"'.encode(): "\U0001f600 é \x7f",
    b'"[[{{\\"[[{{"': '[[{{"[[{{',
}

REFUSED_PICTURES = {
    "empty": b"",
    "without padding": b"AAA",
    "with too little padding": b"AA=",
    "one character long": b"AAAAA",
    "only padding": b"====",
    "padding inside": b"AA==AAAA",
    "more after whole padding": b"AAA=AAAA",
    "more padding": b"AAAA====",
    "stray bits before two signs": b"AB==",
    "stray bits before one sign": b"AAB=",
    "URL-safe": b"ab-_",
    "a space": b"AAAA AAAA",
    "a space at the end": b"AAAA ",
    "a raw newline": b"AAAA\nAAAA",
    "an escaped newline": b"AAAA\\nAAAA",
    "an escaped quote": b'AAAA\\"AAAA',
    "an escaped backslash before a slash": b"AAA\\\\/",
    "an unknown escape": b"AAA\\q",
    "an unfinished escape": b"AAAA\\u00",
    "a lone surrogate": b"AAAA\\ud800",
    "two surrogates": b"AAAA\\ud83d\\ude00",
    "a full-width letter": "AAA\uff21".encode(),
    "bad UTF-8": b"AAA\xff",
    "NUL in the manner of UTF-16": b"\0A\0A\0A\0A\\/",
    "an empty data URL": b"data:image/png;base64,",
    "a data URL of text": b"data:text/plain;base64,AAAA",
    "a data URL of other octets": b"data:application/octet-streams;base64,AAAA",
    "a data URL without a type": b"data:;base64,AAAA",
    "a data URL without a subtype": b"data:image/;base64,AAAA",
    "a data URL not in base64": b"data:image/png,AAAA",
    "a data URL with parameters": b"data:image/png;a=b;base64,AAAA",
    "a data URL twice": b"data:image/png;base64,data:image/png;base64,AAAA",
    "a data URL cut off": b"data:image/png;bas",
    "a data URL after a space": b" data:image/png;base64,AAAA",
    "a data URL of endless type": b"data:image/" + b"a" * 10_000,
    "a web address": b"https://example.com/a.png",
}


def read_picture(chunks: list[bytes], *, limit: int = MIB) -> Base64Image:
    document = read(chunks, limit=limit)
    assert isinstance(document, dict)
    image = document["image_data"]
    assert isinstance(image, Base64Image)
    return image


def outcome(chunks: list[bytes], **limits: int) -> object:
    """Return the document, or the class of the error."""
    return Arrival(chunks, **limits).outcome


def with_picture(text: bytes) -> bytes:
    return b'{"title": "t", "image_data": "%b", "filename": "a.png"}' % text


class TestLoads:
    @pytest.mark.parametrize("document", REFUSED_DOCUMENTS.values(), ids=REFUSED_DOCUMENTS.keys())
    def test_refuses(self, document: bytes) -> None:
        with pytest.raises(InvalidJson):
            loads(document)

    @pytest.mark.parametrize(("document", "meaning"), ACCEPTED_DOCUMENTS.items())
    def test_accepts(self, document: bytes, meaning: object) -> None:
        assert loads(document) == meaning

    def test_accepts_as_many_levels_as_it_says(self) -> None:
        assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    def test_says_what_is_wrong_and_where_without_an_echo(self) -> None:
        with pytest.raises(InvalidJson) as refusal:
            loads(b'{"a": 1,\n "secret": hunter2}')
        assert "line 2, column 12" in refusal.value.detail
        assert "secret" not in refusal.value.detail
        assert "hunter2" not in refusal.value.detail

    def test_leaves_the_picture_of_other_bodies_alone(self) -> None:
        assert loads(with_picture(b"AAAA")) == {"title": "t", "image_data": "AAAA", "filename": "a.png"}


class TestPicture:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000, 10_000])
    def test_is_decoded_whatever_the_chunks(self, size: int) -> None:
        document = read(cut(with_picture(PICTURE_TEXT.encode()), size))
        assert document == {
            "title": "t",
            "image_data": Base64Image(PICTURE),
            "filename": "a.png",
        }

    @pytest.mark.parametrize("length", range(1, 8))
    def test_may_have_any_length(self, length: int) -> None:
        text = base64.b64encode(PICTURE[:length])
        assert read_picture([with_picture(text)]).data == PICTURE[:length]

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 10_000])
    def test_may_be_written_with_escapes(self, size: int) -> None:
        text = PICTURE_TEXT.replace("/", "\\/").replace("+", "\\u002B").replace("A", "\\u0041")
        assert read_picture(cut(with_picture(text.encode()), size)).data == PICTURE

    @pytest.mark.parametrize("size", [10_000, 64 * KIB, 10 * MIB])
    def test_may_be_of_many_blocks(self, size: int) -> None:
        text = (PICTURE_TEXT[:-4] * 300).replace("/", "\\/") + PICTURE_TEXT[-4:]
        image = read_picture(cut(with_picture(text.encode()), size))
        assert image.data == PICTURE[:-1] * 300 + PICTURE[-1:]
        assert outcome(cut(with_picture(text.encode() + b"AAAA"), size)) is InvalidBase64

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 10_000])
    @pytest.mark.parametrize(
        ("prefix", "declared"),
        [
            ("data:image/png;base64,", "image/png"),
            ("data:application/octet-stream;base64,", "application/octet-stream"),
            ("DATA:Image/JPEG;Base64,", "image/jpeg"),
            ("data:image\\/svg+xml;base64\\u002c", "image/svg+xml"),
            ("data:image/" + "a" * 127 + ";base64,", "image/" + "a" * 127),
        ],
    )
    def test_may_have_a_prefix_that_declares_its_type(self, prefix: str, declared: str, size: int) -> None:
        image = read_picture(cut(with_picture((prefix + PICTURE_TEXT).encode()), size))
        assert image == Base64Image(PICTURE, declared)

    def test_may_begin_as_a_prefix_does(self) -> None:
        assert read_picture(cut(with_picture(b"data"), 1)) == Base64Image(base64.b64decode(b"data"))

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 10_000])
    @pytest.mark.parametrize("text", REFUSED_PICTURES.values(), ids=REFUSED_PICTURES.keys())
    def test_is_refused(self, text: bytes, size: int) -> None:
        assert outcome(cut(with_picture(text), size)) is InvalidBase64

    def test_is_refused_for_a_reason_given_at_its_field(self) -> None:
        with pytest.raises(InvalidBase64) as refusal:
            read([with_picture(b"%%%%%%%%")])
        assert refusal.value.errors == {"image_data": ["It contains characters that are not base64."]}
        assert "%" not in refusal.value.detail

    def test_is_refused_before_the_rest_arrives(self) -> None:
        body = JsonBody(limit=MIB)
        body.feed(b'{"image_data": "')
        with pytest.raises(InvalidBase64):
            body.feed(b"not base64")

    @pytest.mark.parametrize(
        "body",
        [
            b'{"image_data": "AAAA", "image_data": "AAAA"}',
            b'{"image_data": "AAAA", "image_data": null}',
            b'{"image_data": null, "image_data": "AAAA"}',
            b'{"image_data": "AAAA", "image\\u005fdata": "AAAA"}',
            b'{"image_data": "AAAA", "image_data": "!!!!!!!!"}',
        ],
    )
    def test_comes_only_once(self, body: bytes) -> None:
        assert outcome([body]) is InvalidJson

    @pytest.mark.parametrize(
        "key", ['"image_data"', '"image\\u005fdata"', '"\\u0069mage_data"', '"image_data"\r\n\t ']
    )
    def test_is_found_however_its_key_is_spelled(self, key: str) -> None:
        body = b'{"a": [{}, "}"], %b : "AAAA"}' % key.encode()
        assert read(cut(body, 1)) == {"a": [{}, "}"], "image_data": Base64Image(bytes(3))}

    @pytest.mark.parametrize(
        "body",
        [
            b'{"image_data": null}',
            b'{"image_data": 5}',
            b'{"image_data": ["AAAA"]}',
            b'{"image_data": {"image_data": "!!"}}',
            b'{"title": "image_data", "filename": "!!"}',
            b'{"title": "\\"image_data\\": \\"!!\\"", "": "!!"}',
            b'{"image": {"image_data": "!!"}}',
            b'{"images": ["image_data", "!!"]}',
            b'[{"image_data": "!!"}]',
            b'["image_data", "!!"]',
            b'{"image_data ": "!!", "Image_data": "!!", "image_data\\\\": "!!"}',
            b'"image_data"',
        ],
    )
    def test_is_only_a_string_under_the_top_level_key(self, body: bytes) -> None:
        assert read([body]) == read(cut(body, 1)) == json.loads(body)

    def test_keeps_its_place_among_the_fields(self) -> None:
        document = read([with_picture(b"AAAA")])
        assert isinstance(document, dict)
        assert list(document) == ["title", "image_data", "filename"]


class TestLimits:
    @pytest.mark.parametrize("size", [1, 4, 7, 10_000])
    @pytest.mark.parametrize("length", [0, 1, 2])
    def test_a_picture_of_the_limit_passes_and_one_byte_more_does_not(self, length: int, size: int) -> None:
        limit = 300 + length
        fits, over = (base64.b64encode(bytes(count)) for count in (limit, limit + 1))
        assert len(read_picture(cut(with_picture(fits), size), limit=limit).data) == limit
        assert outcome(cut(with_picture(over), size), limit=limit) is TooLarge

    def test_a_picture_is_too_large_before_the_rest_arrives(self) -> None:
        body = JsonBody(limit=300)
        body.feed(b'{"image_data": "' + b"A" * 400)
        with pytest.raises(TooLarge):
            body.feed(b"A")

    def test_a_prefix_does_not_count(self) -> None:
        body = with_picture(b"data:image/png;base64,AAAA")
        assert read([body], limit=3) == read(cut(body, 1), limit=3)

    @pytest.mark.parametrize("size", [1, 7, 10_000])
    def test_json_beside_the_picture_may_have_its_limit_and_not_a_byte_more(self, size: int) -> None:
        body = with_picture(PICTURE_TEXT.encode())
        beside = len(body) - len(PICTURE_TEXT)
        assert read(cut(body, size), text_limit=beside)
        assert outcome(cut(body, size), text_limit=beside - 1) is TooLarge

    @pytest.mark.parametrize("size", [1000, 100_000])
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (b'{"title": "' + b"a" * 70_000, TooLarge),
            (b'{"image_data": ["' + b"A" * 70_000, TooLarge),
            (b" " * 70_000, TooLarge),
            (b"[" * 100_000, InvalidJson),
            (b'{"a":' * 100_000, InvalidJson),
        ],
        ids=["long text", "a picture in a list", "blanks", "deep lists", "deep objects"],
    )
    def test_endless_json_is_given_up_early(self, body: bytes, error: type[PixdepotError], size: int) -> None:
        with pytest.raises(error):
            feed(JsonBody(limit=MIB), cut(body, size))

    @pytest.mark.parametrize("size", [64 * KIB, 100 * MIB])
    def test_peak_memory_beside_the_chunks_is_hardly_more_than_the_picture(self, size: int) -> None:
        picture = 8 * MIB
        chunks = cut(with_picture(base64.b64encode(bytes(picture))), size)
        tracemalloc.start()
        try:
            read(chunks, limit=picture)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1.2 * picture


class TestFirstError:
    """Which of two errors wins is a matter of their order in the stream, never of the chunks."""

    @pytest.mark.parametrize("size", [1, 3, 10_000])
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (b'{"image_data": "!!!!", nonsense', InvalidBase64),
            (b'{"image_data": "!!!!!', InvalidBase64),
            (b'{"image_data": "AAAA', InvalidJson),
            (b'{"image_data": "AAAA\\', InvalidJson),
            (b'{"image_data": "AAAA"', InvalidJson),
            (b'{"image_data" "!!!!"}', InvalidJson),
            (b'{nonsense, "image_data": "!!!!"}', InvalidBase64),
            (b'{"image_data": "' + b"A" * 404 + b'!"}', TooLarge),
            (b'{"image_data": "' + b"A" * 404 + b"\\q", TooLarge),
            (b'{"image_data": "!' + b"A" * 404 + b'"}', InvalidBase64),
            (b'{"image_data": "' + b"A" * 396 + b'!A=="}', InvalidBase64),
            (b'{"image_data": "data:image/' + b"a" * 200, InvalidBase64),
            (b'{"image_data": "!!!!", "a": ' + b"[" * 40, InvalidBase64),
            (b'{"a": ' + b"[" * 40 + b', "image_data": "!!!!"', InvalidJson),
        ],
    )
    def test_wins(self, body: bytes, error: type[PixdepotError], size: int) -> None:
        assert outcome(cut(body, size), limit=300) is error


CUT_EVERYWHERE = [
    b'{"a":"\\"image_data\\":\\"!!","image_data" : "AAECAwQF","b":[{"image_data":"!!"}]}',
    b'{"\\u0069mage_data":"data:image\\/png;base64,\\u0041AEC\\/\\/8=","\\\\":"\\\\"}',
    b'{"image_data":"AAEC","\\u0061":1,"a":2}',
    b'{"image_data":"AAEC","image\\u005fdata":"AAEC"}',
    b'{"x":{"image_data":"!!"},"image_data":"AAE=AAEC"}',
    '{"é\U0001f600":"é","image_data":"é"}'.encode(),
    b'{"image_data":"AAECAwQFBgcICQ=="} x',
    b'{"image_data":"AAECAwQFBgcICQoLDA=="}',
]


class TestCuts:
    @pytest.mark.parametrize("body", CUT_EVERYWHERE)
    def test_wherever_two_cuts_are_the_outcome_is_the_same(self, body: bytes) -> None:
        whole, wanted = outcome([body], limit=12), expected(body, 12)
        assert whole in wanted if isinstance(wanted, set) else whole == wanted
        for first, second in combinations(range(len(body) + 1), 2):
            assert outcome([body[:first], body[first:second], body[second:]], limit=12) == whole, (first, second)
