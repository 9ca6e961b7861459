"""What docs/deploy.md puts on a machine: a unit that systemd takes, a proxy that passes everything on."""

import configparser
import json
import os
import re
import shlex
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGQUIT

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bootstrap.processes import free_port, path_variable, running_child
from service.settings import Settings
from tests.api.client import ApiClient, over_http
from tests.docs.installing import index, program
from tests.docs.pages import ROOT, about, runs, typed
from tests.issuer import Issuer, running_issuer
from tests.pictures import picture
from tests.process.servers import COMMANDS, run, serving

PAGE = "docs/deploy.md"
PUBLIC = "https://pictures.example"


def unit() -> str:
    return next(each.text for each in about(PAGE, language="ini") if "[Service]" in each.text)


def command(text: str, directory: Path) -> list[str]:
    """Return what a unit starts, from where the tests have it, with its data in a folder and on any port."""
    parsed = configparser.ConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(text)
    line = parsed["Service"]["ExecStart"]
    line = replaced(line, {"/opt/pixdepot/bin": COMMANDS, "/var/lib/pixdepot": directory / "data", "8080": 0})
    return shlex.split(line)


def environment(issuer: Issuer, public_url: str) -> dict[str, str]:
    """Return what the page says to set, with an issuer that there is."""
    text = next(each.text for each in about(PAGE, language="ini") if "PIXDEPOT_AUTH" in each.text)
    issuing = {".well-known/jwks.json": "jwks", "https://example.eu.auth0.com": issuer.url}
    text = replaced(text, {**issuing, f"URL={PUBLIC}": f"URL={public_url}"})
    return dict(line.split("=", 1) for line in text.splitlines())


def replaced(text: str, changes: Mapping[str, object]) -> str:
    """Return a text with what the page tells in place of what there is here; all of it has to be told."""
    for told, here in changes.items():
        assert told in text
        text = text.replace(told, str(here))
    return text


@runs(PAGE, "[Unit]", language="ini")
async def test_systemd_takes_the_units(script: str, tmp_path: Path) -> None:
    script = replaced(script, {"/opt/pixdepot/bin": COMMANDS, "/usr/local/sbin/pixdepot-backup": "/bin/true"})
    names = re.findall(r"In `/etc/systemd/system/(\S+)`:", (ROOT / PAGE).read_text())
    files = [tmp_path / name for name in names]
    for file, text in zip(files, re.split(r"^(?=\[Unit\])", script, flags=re.MULTILINE)[1:], strict=True):
        file.write_text(text)
    checked = await run(program("systemd-analyze"), "verify", "--man=no", *map(str, files), directory=tmp_path)
    assert (checked.code, [line for line in checked.error.splitlines() if "pixdepot" in line]) == (0, [])


@runs(PAGE, "PIXDEPOT_AUTH", language="ini")
def test_what_is_set_are_settings_that_there_are(script: str) -> None:
    settings = Settings.from_env(dict(line.split("=", 1) for line in script.splitlines()))
    assert (settings.auth, settings.public_url) == ("jwt", PUBLIC)


@runs(PAGE, "pip install")
async def test_what_is_installed_is_where_the_unit_looks_for_it(script: str, tmp_path: Path) -> None:
    """But for its dependencies: those are what the README installs, too."""
    lines = dict.fromkeys(script.replace("pip install", "pip install --quiet --no-deps").splitlines())
    install = "\n".join(line for line in lines if not line.startswith("systemctl"))
    await typed(f"cd {ROOT}\n{install.replace('/opt', str(tmp_path))}", tmp_path, **index())
    assert (tmp_path / "pixdepot" / "bin" / "pixdepot").is_file()


@runs(PAGE, "systemctl")
@pytest.mark.usefixtures("systemctl")
async def test_started_as_the_unit_says_it_is_ready(script: str, tmp_path: Path) -> None:
    """Tests run where no systemd does: something else takes the calls, and the unit's own command is run here."""
    script = "\n".join(line for line in script.splitlines() if "pip install" not in line)
    async with running_issuer() as issuer:
        settings = environment(issuer, PUBLIC)
        async with serving(tmp_path, *command(unit(), tmp_path), **settings) as server:
            typing = f"PATH={tmp_path}:$PATH\n{script.replace('8080', str(server.port))}"
            finished = await typed(typing, tmp_path)
    assert json.loads(finished.out)["status"] == "ok"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "daemon-reload",
        "enable --now pixdepot",
        "enable --now pixdepot-backup.timer",
        "restart pixdepot",
    ]


@pytest.fixture
def systemctl(tmp_path: Path) -> None:
    """Put a command in its place that takes notes."""
    stand_in = tmp_path / "systemctl"
    stand_in.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n')
    stand_in.chmod(0o755)


@runs(PAGE, "EnvironmentFile", language="ini")
def test_the_unit_reads_the_file_that_the_page_fills(script: str) -> None:
    assert "EnvironmentFile=/etc/pixdepot.env\n" in script
    assert "In `/etc/pixdepot.env`," in (ROOT / PAGE).read_text()


@runs(PAGE, language="nginx")
async def test_nginx_passes_everything_on(script: str, tmp_path: Path) -> None:
    port, photo = free_port(), picture(size=(1500, 1200), noise=True)
    public_url = f"https://localhost:{port}"
    certificate(tmp_path)
    async with (
        running_issuer() as issuer,
        serving(tmp_path, *command(unit(), tmp_path), **environment(issuer, public_url)) as server,
        running_nginx(script, tmp_path, port, server.port),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(tmp_path))) as session,
    ):
        bearer = {"Authorization": f"Bearer {issuer.token(aud=PUBLIC)}"}
        api = ApiClient(public_url, over_http(session), bearer)
        begun = await api.begun(photo, user_id="ada")
        assert begun["upload"]["url"].startswith(f"{public_url}/storage/")
        assert (await api.transfer(begun["upload"], photo)).status == 200
        assert (await api.complete(begun["image_id"])).status == 200
        assert (await api.download(begun["image_id"])).body == photo
        assert (await api.upload(photo, user_id="ada")).status == 201
        assert (await api.upload(bytes(15 * 2**20), user_id="ada")).outcome == (413, "too_large")


@asynccontextmanager
async def running_nginx(server_block: str, directory: Path, port: int, upstream: int) -> AsyncIterator[None]:
    """Run nginx with what the page says, but for its port, its certificate and the service's port."""
    changes = {"443": port, "8080": upstream, "/etc/letsencrypt/live/pictures.example": directory}
    server_block = replaced(server_block, changes)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{each}_temp_path {directory}/{each};" for each in places)
    ready = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # its own user may not look into the tests' folders
    (directory / "nginx.conf").write_text(
        f"daemon off; {user} pid {directory}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{server_block}\n"
        f"server {{ listen 127.0.0.1:{ready}; return 200; }} }}"
    )
    command_line = (program("nginx"), "-e", "stderr", "-c", str(directory / "nginx.conf"))
    log = directory / "nginx.log"
    async with running_child(command_line, env=path_variable(), log=log, stop_signal=SIGQUIT) as child:
        await child.until_answers(f"http://127.0.0.1:{ready}/")
        yield


def certificate(directory: Path) -> None:
    """Write a certificate for localhost, and its key, where the page has them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(made.public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "privkey.pem").write_bytes(plain)


def trusting(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=directory / "fullchain.pem")
