"""An outside judge, exiftool, writes places into pictures, and finds none when they have been taken out."""

import json
import subprocess
from pathlib import Path

import pytest

from service.media import inspect, without_location
from tests.pictures import picture

KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif", "GIF": "image/gif"}
PLACES = (
    *("GPSLatitude", "GPSLongitude", "XMP:GPSLatitude", "XMP:GPSLongitude", "XMP-drone-dji:GpsLatitude"),
    *("XMP-dwc:DecimalLatitude", "XMP-photoshop:City", "XMP-photoshop:State", "XMP-iptcCore:Location"),
    *("XMP-iptcExt:LocationShownCity", "IPTC:City", "IPTC:Sub-location"),
)
VALUES = {
    **{place: "48.1373" if "tude" in place else "Munich" for place in PLACES},
    "Make": "Some Maker",
    "Model": "Some Camera",
    "Orientation#": "6",
    "DateTimeOriginal": "2026:01:02 03:04:05",
    "XMP:Rating": "5",
    "XMP-dc:Title": "A title",
}


def written(kind: str, file: Path) -> dict[str, str]:
    """Write all that this kind of file can hold, and return what exiftool reads of it."""
    file.write_bytes(picture(kind))
    tags = [f"-{name}={value}" for name, value in VALUES.items()]
    subprocess.run(["exiftool", "-q", "-m", "-overwrite_original", *tags, file], check=True, capture_output=True)
    return read(file)


def read(file: Path, *options: str) -> dict[str, str]:
    """Return all that exiftool knows of a file's metadata, group by group."""
    run = subprocess.run(
        ["exiftool", "-a", "-G1", "-j", *options, file], check=True, capture_output=True, text=True
    )
    return {str(name): str(value) for name, value in json.loads(run.stdout)[0].items()}


@pytest.mark.parametrize("kind", KINDS)
def test_exiftool_finds_no_place_afterwards_and_all_else(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"picture.{kind.lower()}"
    before = written(kind, file)
    data = file.read_bytes()
    clean = without_location(data, KINDS[kind])
    file.write_bytes(clean)
    after = read(file)
    assert sum("48" in value or "Munich" in value for value in before.values()) >= 6
    assert not [name for name, value in after.items() if "deg" in value or "48.1" in value or "Munich" in value]
    assert not [name for name in after if "GPS" in name or "Location" in name]
    for name in ("Make", "Model", "Orientation", "DateTimeOriginal", "Rating", "Title"):
        kept = {each: value for each, value in before.items() if each.endswith(f":{name}")}
        assert kept.items() <= after.items()
    assert inspect(clean, max_pixels=10_000) == inspect(data, max_pixels=10_000)
    assert read(file, "-validate")["ExifTool:Validate"] in {"OK", read_validity(data, tmp_path, kind)}


def read_validity(data: bytes, folder: Path, kind: str) -> str:
    """Return what exiftool says of the same file before."""
    file = folder / f"before.{kind.lower()}"
    file.write_bytes(data)
    return read(file, "-validate")["ExifTool:Validate"]
