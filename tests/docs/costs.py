"""What a million images cost on AWS: what each operation asks for, times what AWS asks for that.

What operations ask for was counted (test_costs.py counts again); what follows from the tables' definition by
arithmetic, and what was assumed, is said to be so on the page.
"""

from dataclasses import dataclass

MILLION = 1_000_000
GB = 10**9


@dataclass(frozen=True)
class Price:
    """What AWS asks for so much of something, in US dollars."""

    what: str
    dollars: float
    per: str
    source: str


# us-east-1, without free tiers.
S3, DYNAMODB = "https://aws.amazon.com/s3/pricing/", "https://aws.amazon.com/dynamodb/pricing/on-demand/"
LAMBDA, GATEWAY = "https://aws.amazon.com/lambda/pricing/", "https://aws.amazon.com/api-gateway/pricing/"
PRICES = {
    "put": Price("S3: PUT, COPY, POST", 5.00, "million", S3),
    "get": Price("S3: GET", 0.40, "million", S3),
    "object": Price("S3: Standard storage", 0.023, "GB and month", S3),
    "out": Price("S3: data out to the internet", 0.09, "GB", S3),
    "write": Price("DynamoDB: write units, on demand", 0.625, "million", DYNAMODB),
    "read": Price("DynamoDB: read units, on demand", 0.125, "million", DYNAMODB),
    "row": Price("DynamoDB: storage", 0.25, "GB and month", DYNAMODB),
    "recovery": Price("DynamoDB: point-in-time recovery", 0.20, "GB and month", DYNAMODB),
    "invocation": Price("Lambda: requests", 0.20, "million", LAMBDA),
    "compute": Price("Lambda: x86", 0.0000166667, "GB-second", LAMBDA),
    "request": Price("API Gateway: HTTP API", 1.00, "million", GATEWAY),
}

FUNCTION_GB = 1769 / 1024  # memory of each function, as the template has it
SECONDS = {"request": 0.05, "complete": 0.5}  # assumed, of a function


@dataclass(frozen=True)
class Work:
    """What one operation asks of S3 and of DynamoDB. `index_writes` are those that dynalite does not count."""

    puts: int = 0
    gets: int = 0
    writes: float = 0
    index_writes: int = 0
    reads: float = 0

    def cost(self) -> float:
        """Return what a million of them cost, in dollars."""
        requests = self.puts * PRICES["put"].dollars + self.gets * PRICES["get"].dollars
        units = (self.writes + self.index_writes) * PRICES["write"].dollars + self.reads * PRICES["read"].dollars
        return requests + units


UPLOAD = "a direct upload, until it is published"
SWEPT = "sweep of the upload"
VIEW = "a view, or a redirect to a thumbnail"
FUNCTIONS = "Lambda for a direct upload"
FUNCTION = "Lambda for a view, a list or a delete"
KEEPING = "storage of the images for a month"
KNOWING = "storage of their records for a month"
SENDING = "transfer of their thumbnails"

# A title of 18 letters and three tags, as in docs/lists.md.
COUNTED = {
    UPLOAD: Work(puts=4, gets=1, writes=28, index_writes=5, reads=1),
    SWEPT: Work(puts=1, writes=1, index_writes=1, reads=2.5),
    "an upload as base64 or form": Work(puts=3, writes=28, index_writes=4),
    VIEW: Work(reads=1),
    "a delete, with its sweep": Work(puts=2, writes=54, index_writes=4, reads=4.5),
}
# Read units of a page of 50, from docs/lists.md.
PAGES = {"of a user": 50 * 0.08, "of the feed": 50 * 0.13, "of a tag": 50 * 1.03, "by part of a title": 50 * 0.92}
PHOTOGRAPH, VARIANTS, THUMB, ROWS = 3.5e6, 0.25e6, 20e3, 10e3  # bytes of one image: assumed, but for the rows


@dataclass(frozen=True)
class Line:
    """What is done a million times, how its price comes about, and what that is."""

    what: str
    formula: str
    dollars: float


def dollars(name: str, amount: float) -> float:
    """Return what so many units of something cost; a unit is one request, one GB, one GB-second."""
    price = PRICES[name]
    return price.dollars * amount / (MILLION if price.per == "million" else 1)


def on_lambda(what: str, requests: int, completes: int) -> Line:
    """Return what a million times so many API requests cost, and so many uploads completed by an event."""
    seconds = requests * SECONDS["request"] + completes * SECONDS["complete"]
    cost = (
        dollars("request", MILLION * requests)
        + dollars("invocation", MILLION * (requests + completes))
        + dollars("compute", MILLION * seconds * FUNCTION_GB)
    )
    return Line(
        what, f"{requests} x API, {requests + completes} x function, {seconds:g} s x {FUNCTION_GB:.2f} GB", cost
    )


def counted(name: str) -> Line:
    """Return what a million of an operation costs, as it was counted."""
    work = COUNTED[name]
    parts = {
        "PUT": work.puts,
        "GET": work.gets,
        "write units": work.writes + work.index_writes,
        "read units": work.reads,
    }
    return Line(name, ", ".join(f"{amount:g} {unit}" for unit, amount in parts.items() if amount), work.cost())


def lines() -> list[Line]:
    """Return what there is to pay for a million images."""
    stored, kept = MILLION * (PHOTOGRAPH + VARIANTS) / GB, MILLION * ROWS / GB
    seen = MILLION * THUMB / GB
    months = dollars("row", kept) + dollars("recovery", kept)
    return [
        *map(counted, COUNTED),
        on_lambda(FUNCTIONS, 1, 1),
        on_lambda(FUNCTION, 1, 0),
        *(
            Line(f"a page of 50 images {name}", f"{units:g} read units", dollars("read", MILLION * units))
            for name, units in PAGES.items()
        ),
        Line(KEEPING, f"{stored:,.0f} GB", dollars("object", stored)),
        Line(KNOWING, f"{kept:,.0f} GB, with recovery", months),
        Line(SENDING, f"1 GET, {seen:,.0f} GB out", dollars("get", MILLION) + dollars("out", seen)),
    ]


def year() -> Line:
    """Return what a year of a million photographs costs: direct uploads on Lambda, ten looks at each thumbnail."""
    all_of_it = lines()
    bill = {each.what: each.dollars for each in all_of_it}
    times = dict.fromkeys(bill, 0)
    times |= dict.fromkeys((UPLOAD, SWEPT, FUNCTIONS), 1)
    times |= dict.fromkeys((VIEW, FUNCTION, SENDING), 10)
    times |= dict.fromkeys((KEEPING, KNOWING), 12)
    return Line(
        "**direct upload, a year of storage, ten views**",
        "",
        sum(bill[what] * n for what, n in times.items()),
    )


def tables() -> dict[str, str]:
    """Return the tables of the page, each by the heading it stands under."""
    bill = [f"| {each.what} | {each.formula} | {each.dollars:,.2f} |" for each in [*lines(), year()]]
    prices = [f"| [{each.what}]({each.source}) | {plain(each.dollars)} | {each.per} |" for each in PRICES.values()]
    return {
        "A million of each": "\n".join(
            ["| operation | requests and units of each | US dollars |", "| --- | --- | ---: |", *bill]
        ),
        "Prices": "\n".join(["| service | US dollars | per |", "| --- | ---: | --- |", *prices]),
    }


def plain(amount: float) -> str:
    return f"{amount:.10f}".rstrip("0") if amount < 0.01 else f"{amount:.3f}".rstrip("0").ljust(4, "0")
