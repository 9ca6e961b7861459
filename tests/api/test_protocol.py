"""HTTP itself: methods, paths, ids, other origins, request ids, the service's own pages."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.api.client import ApiClient
from tests.api.conftest import Start
from tests.pictures import picture

DATA = picture()
ID = "01994d3c-8d00-7abc-8def-0123456789ab"  # nobody's
ORIGIN = "https://app.example"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
ALLOWED = {
    "/images": {"GET", "HEAD", "POST", "OPTIONS"},
    f"/images/{ID}": {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
    "/uploads": {"POST", "OPTIONS"},
    f"/uploads/{ID}": {"GET", "HEAD", "DELETE", "OPTIONS"},
    f"/uploads/{ID}/sign": {"POST", "OPTIONS"},
    f"/uploads/{ID}/complete": {"POST", "OPTIONS"},
    "/health": {"GET", "HEAD", "OPTIONS"},
    "/health/ready": {"GET", "HEAD", "OPTIONS"},
    "/openapi.json": {"GET", "HEAD", "OPTIONS"},
}

# ---------------------------------------------------------------- methods


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
async def test_a_method_that_a_path_does_not_have_is_told_those_it_has(
    api: ApiClient, path: str, allowed: set[str]
) -> None:
    refused = [method for method in METHODS if method not in allowed]
    for method in refused:
        answer = await api.request(method, path, json={"user_id": "ada"})
        assert answer.outcome == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed
    assert len(refused) >= 4


@pytest.mark.parametrize("path", ["/uploads", f"/uploads/{ID}/sign"])
async def test_head_is_refused_where_get_is(api: ApiClient, path: str) -> None:
    answer = await api.request("HEAD", path)
    assert (answer.status, answer.body) == (405, b"")
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
async def test_options_tells_what_a_path_takes(api: ApiClient, path: str, allowed: set[str]) -> None:
    answer = await api.request("OPTIONS", path)
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "DELETE"])
async def test_an_unknown_path_is_not_found_by_any_method(api: ApiClient, method: str) -> None:
    answer = await api.request(method, "/nowhere")
    assert answer.status == 404
    assert "Allow" not in answer.headers


# ---------------------------------------------------------------- ids and paths


async def test_an_id_may_be_written_in_capitals(api: ApiClient, user: str) -> None:
    image = await api.uploaded(DATA, user_id=user)
    path = f"/images/{image['image_id'].upper()}"
    assert (await api.get(path)).json["metadata"] == image
    assert (await api.get(path, params={"download": "true"})).body == DATA
    assert (await api.get(f"/uploads/{image['image_id'].upper()}")).json["image_id"] == image["image_id"]
    assert (await api.delete(path, {"user_id": user})).json["image_id"] == image["image_id"]
    assert (await api.get(path)).status == 404


async def test_a_path_may_be_percent_encoded_once(api: ApiClient) -> None:
    image_id = (await api.uploaded())["image_id"]
    once = "".join(f"%{ord(letter):02x}" for letter in image_id)
    assert (await api.get(f"/images/{once}")).json["image_id"] == image_id
    assert (await api.get(f"/%69mages/{image_id}")).json["image_id"] == image_id
    twice = once.replace("%", "%25")
    assert (await api.get(f"/images/{twice}")).outcome == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/images%2F{}"),
        ("DELETE", "/images%2f{}"),
        ("GET", "/images/{}%2Fcontent"),
        ("DELETE", "/images/{}%2Fcontent"),
        ("DELETE", "/images/a%2Fb"),
        ("POST", "/uploads/{}%2Fcomplete"),
        ("PUT", "/images/a%2Fb"),
        ("OPTIONS", "/images%2F{}"),
        ("OPTIONS", "/images/{}%2Fcontent"),
    ],
)
async def test_an_encoded_slash_separates_nothing(api: ApiClient, method: str, path: str) -> None:
    image_id = (await api.uploaded())["image_id"]
    answer = await api.request(method, path.format(image_id), json={"user_id": "ada"})
    assert answer.outcome == (404, "not_found")
    assert "Allow" not in answer.headers
    assert (await api.get(f"/images/{image_id}")).status == 200  # nor is it taken for what it would be decoded


async def test_a_query_may_be_percent_encoded_or_use_plus_for_blanks(api: ApiClient, user: str) -> None:
    await api.uploaded(user_id=user, title="a b+c&d=é")
    for title in ("a%20b%2Bc%26d%3D%C3%A9", "a+b%2Bc%26d=%c3%a9"):
        answer = await api.get(f"/images?user_id={user}&title={title}")
        assert answer.json["count"] == 1


@pytest.mark.parametrize("path", ["/images/{}", "/images/{}?metadata_only=true", "/uploads/{}"])
async def test_a_fragment_of_bad_utf8_in_a_query_is_no_failure(api: ApiClient, path: str) -> None:
    image = await api.uploaded()
    joint = "&" if "?" in path else "?"
    answer = await api.get(path.format(image["image_id"]) + f"{joint}x=%FF%ED%A0%80")
    assert answer.outcome == (400, "invalid_parameter")
    assert (await api.get("/images?title=%FF%ED%A0%80")).json["count"] == 0


# ---------------------------------------------------------------- request ids


@pytest.mark.parametrize("given", ["1", "a-b_c.d:e@f=g+h/i", "x" * 128, ID])
async def test_a_request_id_is_taken(api: ApiClient, given: str) -> None:
    for path in ("/health", "/nowhere", f"/images/{ID}"):
        answer = await api.get(path, headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given", ["", " ", "a b", "x" * 129, "<script>", 'a"b', "é", "a,b", "{}", "a;b", "a\tb", "%0d%0a"]
)
async def test_a_hostile_request_id_is_replaced(api: ApiClient, given: str) -> None:
    answer = await api.get("/nowhere", headers={"X-Request-ID": given})
    made = answer.headers["X-Request-ID"]
    assert made != given
    assert made.isalnum()
    assert answer.json["request_id"] == made
    assert not given.strip() or given.encode() not in answer.body


async def test_every_request_without_an_id_gets_one_of_its_own(api: ApiClient) -> None:
    made = [(await api.get("/health")).headers["X-Request-ID"] for _ in range(20)]
    assert len(set(made)) == 20


# ---------------------------------------------------------------- other origins


@pytest.fixture(scope="module")
async def open_api(start: Start, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    """Return a client of a service that a page at ORIGIN may call."""
    origins = ("https://other.example", ORIGIN, "http://local.example:*")
    async with start(tmp_path_factory.mktemp("cors"), cors_origins=origins) as client:
        yield client


def cors(headers: Mapping[str, str]) -> set[str]:
    """Return the names of the header fields that belong to CORS."""
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


async def test_no_other_origin_may_call_the_api_unless_it_is_listed(api: ApiClient, open_api: ApiClient) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        assert not cors((await api.request(method, "/images", headers=preflight)).headers)
        stranger = {**preflight, "Origin": "https://evil.example"}
        assert not cors((await open_api.request(method, "/images", headers=stranger)).headers)


@pytest.mark.parametrize(
    "origin",
    [
        *(f"{ORIGIN}.evil.example", "http://app.example", f"{ORIGIN}:8443", "https://APP.example", "null", "", "*"),
        *("https://local.example:8443", "http://evil.example:80", "http://local.example:80.evil.example", ":*"),
    ],
)
async def test_an_origin_is_compared_whole(open_api: ApiClient, origin: str) -> None:
    answer = await open_api.get("/images", headers={"Origin": origin})
    assert answer.status == 200
    assert not cors(answer.headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/images", 200),
        ("GET", f"/images/{ID}", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/images", 405),
        ("POST", "/images", 400),
        ("POST", f"/uploads/{ID}/complete", 404),
        ("GET", "/health", 200),
    ],
)
async def test_a_listed_origin_may_read_every_answer(
    open_api: ApiClient, method: str, path: str, status: int
) -> None:
    answer = await open_api.request(method, path, headers={"Origin": ORIGIN})
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert {"etag", "location", "link", "retry-after", "x-request-id"} <= set(exposed)
    assert "origin" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("origin", ["http://local.example:9000", "http://local.example:1"])
async def test_an_origin_may_be_listed_for_every_port(open_api: ApiClient, origin: str) -> None:
    answer = await open_api.get("/images", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin


async def test_answers_that_depend_on_the_origin_say_so_to_caches(open_api: ApiClient) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": ORIGIN}):
        assert "origin" in (await open_api.get("/images", headers=headers)).headers["Vary"].lower()


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/images", "POST", "content-type,idempotency-key"),
        ("/uploads", "POST", "content-type"),
        (f"/images/{ID}", "PATCH", "content-type,if-match,authorization"),
        (f"/images/{ID}", "DELETE", "content-type,x-request-id"),
        (f"/images/{ID}", "GET", "range,if-none-match"),
    ],
)
async def test_a_preflight_of_a_listed_origin_is_granted(
    open_api: ApiClient, path: str, method: str, headers: str
) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    answer = await open_api.request("OPTIONS", path, headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert set(headers.split(",")) <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(", "))
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


async def test_credentials_are_never_asked_for_by_cors(open_api: ApiClient) -> None:
    answer = await open_api.get("/images", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_page_at_a_listed_origin_may_use_the_storage_s_links(open_api: ApiClient, method: str) -> None:
    begun = await open_api.begun(DATA, method=method)
    upload = begun["upload"]
    sent = ", ".join(name.lower() for name in upload["headers"])
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": sent}
    preflight = await open_api.fetch(upload["url"], "OPTIONS", asked)
    assert preflight.status in {200, 204}
    assert preflight.headers["Access-Control-Allow-Origin"] in {ORIGIN, "*"}
    allowed = preflight.headers["Access-Control-Allow-Methods"].replace(" ", "").split(",")
    assert {method, "*"} & {*allowed}  # without credentials "*" is any method (Fetch standard, section 3.3.6)
    granted = preflight.headers.get("Access-Control-Allow-Headers", "").lower().replace(" ", "").split(",")
    assert {each.lower() for each in upload["headers"]} <= set(granted)

    await open_api.transfer(upload, DATA)
    await open_api.complete(begun["image_id"])
    url = (await open_api.get(f"/images/{begun['image_id']}")).json["url"]
    fetched = await open_api.fetch(url, headers={"Origin": ORIGIN})
    assert fetched.body == DATA
    assert fetched.headers["Access-Control-Allow-Origin"] in {ORIGIN, "*"}
    assert "etag" in fetched.headers["Access-Control-Expose-Headers"].lower()


async def test_a_page_elsewhere_may_not_use_the_storage_s_links(api: ApiClient, open_api: ApiClient) -> None:
    for client in (api, open_api):
        begun = await client.begun(DATA)
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
        assert not cors((await client.fetch(begun["upload"]["url"], "OPTIONS", asked)).headers)


async def test_a_star_lists_every_origin(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, cors_origins=("*",)) as client:
        answer = await client.get("/images", headers={"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] in {ORIGIN, "*"}


# ---------------------------------------------------------------- the service itself


async def test_a_service_that_works_is_alive_and_ready(api: ApiClient) -> None:
    alive, ready = await api.get("/health"), await api.get("/health/ready")
    assert (alive.status, alive.json) == (200, {"status": "ok"})
    assert (ready.status, ready.json["status"]) == (200, "ok")
    assert set(ready.json["dependencies"].values()) == {"ok"}
    assert ready.json["dependencies"].keys() == {"database", "storage"}


async def test_the_description_is_served(api: ApiClient) -> None:
    answer = await api.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["openapi"].startswith("3.1.")
    for path, allowed in ALLOWED.items():
        described = {method.upper() for method in answer.json["paths"][path.replace(ID, "{image_id}")]}
        assert described == allowed - {"HEAD", "OPTIONS"}


async def test_links_begin_with_the_public_url_where_one_is_set(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, public_url="https://images.example/v1") as client:
        answer = await client.upload(user_id="ada")
        await client.upload(user_id="ada")
        assert answer.headers["Location"] == f"https://images.example/v1/images/{answer.json['image_id']}"
        link = (await client.get("/images", params={"limit": "1"})).headers["Link"]
        assert link.startswith("<https://images.example/v1/images?limit=1&cursor=")
        begun = (await client.begin(DATA)).json
        assert begun["complete_url"].startswith("https://images.example/v1/uploads/")
