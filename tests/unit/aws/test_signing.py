"""The signer, held to botocore: whatever botocore would sign, we sign the same."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.credentials
import botocore.session
import botocore.signers
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.aws.signing import MAX_LIFETIME, Credentials, Presigner, S3Signer
from service.domain.errors import Unavailable

NOW = datetime(2026, 3, 1, 12, 30, 15, 678_000, tzinfo=UTC)
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TEMPORARY = replace(EXAMPLE, token="to+ken/==", expires_at=NOW + timedelta(seconds=600))

OVERRIDES = {
    "ResponseContentDisposition": "response_content_disposition",
    "ResponseContentType": "response_content_type",
    "ResponseCacheControl": "response_cache_control",
}


@dataclass(frozen=True)
class Asked:
    """What either signer is asked for."""

    place: tuple[str, str, str | None, str] = ("pictures", "us-east-1", None, "virtual")
    key: str = "a"
    who: Credentials = EXAMPLE
    now: datetime = NOW
    lifetime: int = 60

    def presigner(self) -> Presigner:
        return S3Signer(*self.place).for_time(self.who, self.now, self.lifetime)

    @contextmanager
    def botocore(self) -> Iterator[Any]:
        """Give botocore's client for the place, with these credentials and its clock stopped."""
        client = botocore_client(*self.place[1:])
        client._request_signer._credentials = botocore.credentials.Credentials(
            self.who.access_key, self.who.secret_key, self.who.token
        )
        clock = mock.Mock(return_value=self.now.replace(tzinfo=None))
        with (
            mock.patch.object(botocore.auth, "get_current_datetime", clock),
            mock.patch.object(botocore.signers, "get_current_datetime", clock),
        ):
            yield client


session = cache(botocore.session.Session)


@cache
def botocore_client(region: str, endpoint: str | None, addressing: str) -> Any:
    return session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="replaced",
        aws_secret_access_key="replaced",
        config=Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            s3={"addressing_style": addressing, "us_east_1_regional_endpoint": "regional"},
        ),
    )


buckets = st.sampled_from(["pictures", "my-pictures-1", "dotted.pictures"])
addressings = st.sampled_from(["virtual", "path"])
aws_regions = [
    "us-east-1",
    "eu-central-1",
    "us-gov-west-1",
    "cn-north-1",
    "eusc-de-east-1",
    "mars-north-7",
    "us-iso-east-1",
    "us-isob-east-1",
    "us-isof-south-1",
    "eu-isoe-west-1",
]
secure_endpoints = [
    "https://s3.example.com",
    "https://S3.Example.com:443/",
    "https://s3.example.com:8443/base/of-it",
]
plain_endpoints = [
    "http://localhost:4566",
    "http://127.0.0.1:4566",
    "http://127.0.0.1:80",
    "http://[::1]:9000",
]
places = st.one_of(
    st.tuples(buckets, st.sampled_from(aws_regions), st.none(), addressings),
    st.tuples(buckets, st.just("eu-west-1"), st.sampled_from(secure_endpoints), addressings),
    # Without TLS botocore makes hosts such as dotted.pictures.127.0.0.1; we keep the dots in the path.
    st.tuples(st.just("pictures"), st.just("us-east-1"), st.sampled_from(plain_endpoints), addressings),
)
awkward = ["a", "Z9", "-._~", " ", "+", "%2F", "%", "//", "/..", "/./", "é", "é", "🖼", "&?#=", "*'()", "$"]
keys = st.one_of(
    st.from_regex(r"images/[0-9a-f-]{36}/[0-9a-f]{8}/original\.jpg", fullmatch=True),
    st.text(min_size=1, max_size=60),
    st.lists(st.sampled_from(awkward), min_size=1).map("".join),
)
printable = st.characters(min_codepoint=33, max_codepoint=126)
credentials = st.builds(
    Credentials,
    st.from_regex(r"A[SK]IA[A-Z2-7]{16}", fullmatch=True),
    st.text(printable, min_size=20, max_size=60),
    st.none() | st.text(printable, min_size=1, max_size=900),
)
moments = st.datetimes(datetime(2015, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
asks = st.builds(Asked, places, keys, credentials, moments, st.integers(1, MAX_LIFETIME))
overrides = st.fixed_dictionaries(
    {},
    optional={
        "ResponseContentDisposition": st.sampled_from(
            [
                "inline",
                'attachment; filename="a \\"b\\".jpg"',
                "attachment; filename=\"e.jpg\"; filename*=UTF-8''%C3%A9.jpg",
                "é+ &=",
            ]
        ),
        "ResponseContentType": st.just("image/svg+xml"),
        "ResponseCacheControl": st.just("private, max-age=3600, immutable"),
    },
)
digests = st.none() | st.binary(min_size=32, max_size=32)


def parts(url: str) -> tuple[Any, ...]:
    """Return a URL as a client acts on it: the query in any order, the host in any case."""
    split = urlsplit(url)
    port = split.port or {"http": 80, "https": 443}[split.scheme]
    return split.scheme, split.hostname, port, split.path, parameters(url)


def parameters(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def policy_of(fields: dict[str, str]) -> tuple[str, list[str]]:
    """Return a form's policy, with its conditions in alphabetical order."""
    policy = json.loads(base64.b64decode(fields["policy"], validate=True))
    assert policy.keys() == {"expiration", "conditions"}
    return policy["expiration"], sorted(map(json.dumps, policy["conditions"]))


@settings(max_examples=300, deadline=None)
@given(asks, overrides)
@example(Asked(key="/"), {})
@example(Asked(key=".."), {})
def test_a_presigned_get_is_botocores(asked, overrides):
    request = {"Bucket": asked.place[0], "Key": asked.key, **overrides}
    with asked.botocore() as client:
        theirs = client.generate_presigned_url("get_object", request, ExpiresIn=asked.lifetime)
    ours = asked.presigner().get(asked.key, **{OVERRIDES[name]: value for name, value in overrides.items()})
    assert parts(ours) == parts(theirs)


@settings(max_examples=300, deadline=None)
@given(
    asks,
    st.sampled_from(["image/jpeg", "image/svg+xml; charset=utf-8", "text/plain;  a=b "]),
    st.integers(0, 10 * 2**20),
    digests,
    st.booleans(),
)
def test_a_presigned_put_is_botocores(asked, content_type, length, digest, create_only):
    request = {
        "Bucket": asked.place[0],
        "Key": asked.key,
        "ContentType": content_type,
        "ContentLength": length,
    }
    if digest is not None:
        request["ChecksumSHA256"] = base64.b64encode(digest).decode()
    if create_only:
        request["IfNoneMatch"] = "*"
    with asked.botocore() as client:
        theirs = client.generate_presigned_url("put_object", request, ExpiresIn=asked.lifetime)
    ours, headers = asked.presigner().put(
        asked.key,
        content_type=content_type,
        content_length=length,
        sha256_hex=digest and digest.hex(),
        create_only=create_only,
    )
    assert parts(ours) == parts(theirs)
    signed = parameters(ours)["X-Amz-SignedHeaders"].split(";")
    assert sorted(signed) == sorted({"host", "content-length"} | {name.lower() for name in headers})


# botocore takes a key ending in ${filename} for a pattern; ours is always the key itself.
@settings(max_examples=300, deadline=None)
@given(asks.filter(lambda asked: not asked.key.endswith("${filename}")), digests)
def test_a_presigned_post_is_botocores(asked, digest):
    fields = {"Content-Type": "image/png"}
    if digest is not None:
        fields["x-amz-checksum-sha256"] = base64.b64encode(digest).decode()
    conditions: list[Any] = [["content-length-range", 1, 99], *({name: fields[name]} for name in fields)]
    with asked.botocore() as client:
        theirs = client.generate_presigned_post(
            asked.place[0], asked.key, fields, conditions, ExpiresIn=asked.lifetime
        )
        signer = botocore.auth.S3SigV4PostAuth(client._request_signer._credentials, "s3", asked.place[1])
    url, ours = asked.presigner().post(
        asked.key, content_type="image/png", length_range=(1, 99), sha256_hex=digest and digest.hex()
    )
    assert parts(url) == parts(theirs["url"])
    assert policy_of(ours) == policy_of(theirs["fields"])
    # Each signature is over the conditions in the order its policy has them.
    request = AWSRequest("POST", url)
    request.context["timestamp"] = ours["x-amz-date"]
    assert ours["x-amz-signature"] == signer.signature(ours["policy"], request)
    for form in (ours, theirs["fields"]):
        del form["policy"], form["x-amz-signature"]
    assert ours == theirs["fields"]


def test_the_example_in_the_aws_documentation_comes_out():
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    signer = S3Signer("examplebucket", "us-east-1", "https://s3.amazonaws.com")
    url = signer.for_time(EXAMPLE, datetime(2013, 5, 24, tzinfo=UTC), 86400).get("test.txt")
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_every_field_of_a_form_is_held_by_its_policy():
    # S3 refuses "extra input fields".
    _, fields = Asked(who=TEMPORARY).presigner().post("a", content_type="image/png", length_range=(1, 2))
    held = policy_of(fields)[1]
    del fields["policy"], fields["x-amz-signature"]
    assert {json.dumps({name: value}) for name, value in fields.items()} <= set(held)


def test_aws_is_met_at_the_regions_own_host():
    assert urlsplit(Asked().presigner().get("a")).netloc == "pictures.s3.us-east-1.amazonaws.com"


@pytest.mark.parametrize("endpoint", ["http://localhost:4566", "http://127.0.0.1:4566", "https://s3.example.com"])
def test_a_bucket_with_dots_stays_in_the_path(endpoint):
    url = Asked(("dotted.pictures", "us-east-1", endpoint, "virtual")).presigner().get("a")
    assert url.startswith(f"{endpoint}/dotted.pictures/a?")


def test_another_time_zone_signs_the_same_instant():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-9)))
    assert Asked(now=elsewhere).presigner().get("a") == Asked().presigner().get("a")


@pytest.mark.parametrize(("asked", "granted"), [(60, 60), (600, 600), (601, 600), (MAX_LIFETIME, 600)])
def test_nothing_outlives_the_credentials(asked, granted):
    presigner = Asked(who=TEMPORARY, lifetime=asked).presigner()
    ends = NOW.replace(microsecond=0) + timedelta(seconds=granted)
    assert presigner.expires_at == ends
    assert parameters(presigner.get("a"))["X-Amz-Expires"] == str(granted)
    _, fields = presigner.post("a", content_type="image/png", length_range=(1, 2))
    assert policy_of(fields)[0] == f"{ends:%Y-%m-%dT%H:%M:%SZ}"


def test_a_part_of_a_second_is_not_granted():
    ending = replace(TEMPORARY, expires_at=NOW.replace(microsecond=0) + timedelta(seconds=9.9))
    assert parameters(Asked(who=ending).presigner().get("a"))["X-Amz-Expires"] == "9"


@pytest.mark.parametrize("left", [timedelta(0), timedelta(seconds=0.3), timedelta(days=-2)])
def test_expired_credentials_sign_nothing(left):
    expired = replace(TEMPORARY, expires_at=NOW.replace(microsecond=0) + left)
    with pytest.raises(Unavailable, match="expired"):
        Asked(who=expired).presigner()


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1])
def test_a_lifetime_that_s3_would_not_take_is_refused(lifetime):
    with pytest.raises(ValueError, match="after 1 to 604800 seconds"):
        Asked(lifetime=lifetime).presigner()


def test_a_moment_is_prepared_once_and_never_taken_for_another():
    signer = S3Signer("pictures", "us-east-1")
    presigner = signer.for_time(TEMPORARY, NOW, 60)
    assert signer.for_time(replace(TEMPORARY), NOW, 60) is presigner
    for other in [(EXAMPLE, NOW, 60), (TEMPORARY, NOW + timedelta(seconds=1), 60), (TEMPORARY, NOW, 61)]:
        assert signer.for_time(*other).get("a") != presigner.get("a")
        assert signer.for_time(TEMPORARY, NOW, 60).get("a") == presigner.get("a")


def test_a_key_is_never_empty():
    presigner = Asked().presigner()
    with pytest.raises(ValueError, match="key is empty"):
        presigner.get("")
    with pytest.raises(ValueError, match="key is empty"):
        presigner.put("", content_type="image/png", content_length=1)
    with pytest.raises(ValueError, match="key is empty"):
        presigner.post("", content_type="image/png", length_range=(1, 2))


@pytest.mark.parametrize(
    "other",
    [
        Asked(("picturez", "us-east-1", None, "virtual")),
        Asked(("pictures", "us-east-2", None, "virtual")),
        Asked(("pictures", "us-east-1", None, "path")),
        Asked(("pictures", "us-east-1", "https://s3.us-east-1.amazonaws.com:8443", "virtual")),
        Asked(("pictures", "us-east-1", "https://s3.us-east-1.amazonaws.com/base", "virtual")),
        Asked(key="b"),
        Asked(key="a/"),
        Asked(who=replace(EXAMPLE, access_key="AKIAIOSFODNN7EXAMPLF")),
        Asked(who=replace(EXAMPLE, secret_key="other")),
        Asked(who=replace(EXAMPLE, token="other")),
        Asked(now=NOW + timedelta(seconds=1)),
        Asked(now=NOW + timedelta(days=1)),
        Asked(lifetime=61),
    ],
)
def test_whatever_is_altered_alters_the_signature(other):
    def signatures(asked: Asked) -> set[str]:
        read = asked.presigner().get(asked.key)
        write, _ = asked.presigner().put(asked.key, content_type="image/png", content_length=12)
        return {parameters(read)["X-Amz-Signature"], parameters(write)["X-Amz-Signature"]}

    assert len(signatures(Asked()) | signatures(other)) == 4


@pytest.mark.parametrize(
    "altered",
    [
        {"content_type": "image/jpeg"},
        {"content_length": 13},
        {"sha256_hex": SHA256[::-1]},
        {"sha256_hex": None},
        {"create_only": False},
    ],
    ids=str,
)
def test_whatever_is_altered_about_an_upload_alters_the_signature(altered):
    upload = {"content_type": "image/png", "content_length": 12, "sha256_hex": SHA256}
    one, other = (Asked().presigner().put("a", **each)[0] for each in (upload, upload | altered))
    assert parameters(one)["X-Amz-Signature"] != parameters(other)["X-Amz-Signature"]


@pytest.mark.parametrize("sha256_hex", ["", "abc", SHA256[:-2], SHA256 + "00", " " + SHA256[1:], "z" * 64])
def test_what_is_no_hash_is_refused(sha256_hex):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Asked().presigner().put("a", content_type="image/png", content_length=1, sha256_hex=sha256_hex)


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:us-west-2:123456789012:accesspoint/mine",
        "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap",
        "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/mine",
        "mine--use1-az4--x-s3",
        "mine--ol-s3",
        "mfzwi23gnjvgw.mrap",
    ],
)
def test_access_points_and_directory_buckets_are_refused(bucket):
    with pytest.raises(ValueError, match="access point or directory bucket"):
        S3Signer(bucket, "us-west-2")


bad_buckets = [
    "",
    "ab",
    "a" * 64,
    "Pictures",
    "my_pictures",
    "-ab",
    "ab-",
    ".ab",
    "a..b",
    "10.0.5.4",
    "a/b",
    "abc\n",
]


@pytest.mark.parametrize("bucket", bad_buckets)
def test_what_is_no_bucket_name_is_refused(bucket):
    with pytest.raises(ValueError, match="not an S3 bucket name"):
        S3Signer(bucket, "us-west-2")


@pytest.mark.parametrize("endpoint", [None, "https://s3.example.com"])
@pytest.mark.parametrize("region", ["fips-us-east-1", "us-gov-west-1-fips"])
def test_fips_regions_are_refused(region, endpoint):
    with pytest.raises(ValueError, match="FIPS"):
        S3Signer("pictures", region, endpoint)


@pytest.mark.parametrize(
    "region", ["", "aws-global", "s3-external-1", "us-east-1.example.com", "us-east-1/", "auto"]
)
def test_what_is_no_aws_region_is_refused(region):
    with pytest.raises(ValueError, match="not an AWS Region"):
        S3Signer("pictures", region)


def test_another_store_may_call_its_region_as_it_likes():
    url = Asked(("pictures", "auto", "https://s3.example.com", "path")).presigner().get("a")
    assert "/auto/s3/aws4_request" in parameters(url)["X-Amz-Credential"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://user:pw@s3.example.com",
        "https://s3.example.com?x=1",
        "https://s3.example.com/#a",
        "https://s3.example.com//a",
        "https://s3.example.com/a b",
        "https://",
        "https://é.example",
    ],
)
def test_what_is_no_plain_endpoint_is_refused(endpoint):
    with pytest.raises(ValueError, match="The S3 endpoint must be a URL"):
        S3Signer("pictures", "us-east-1", endpoint)


def test_secrets_stay_out_of_a_repr():
    assert TEMPORARY.secret_key not in repr(TEMPORARY)
    assert "to+ken" not in repr(TEMPORARY)


def test_the_signer_loads_no_sdk():
    script = "import sys, service.aws.signing; print([m for m in sys.modules if 'boto' in m or 'aiohttp' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
