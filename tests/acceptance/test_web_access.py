"""Who may do what: tokens, foreign pages, foreign names, paths that lead elsewhere, requests that are too large."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from air_executor import AirExecutorClient, errors
from tests.acceptance.command_line import air_executor, environment
from tests.acceptance.web_server import Server, served
from tests.support import write_job

WRITE, READ = "w" * 32, "r" * 32


@pytest.fixture
def job(base: Path) -> Path:
    return write_job(base, "job", [{"id": "t", "command": "true"}])


@pytest.fixture
def guarded(base: Path, job: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with a token for everything and one for reading."""
    (tmp_path / "read").write_text(f"\n  {READ}\nanother-good-token-of-somebody\n")
    with served(base, "--read-token-file", str(tmp_path / "read"), AIR_EXECUTOR_TOKEN=WRITE) as server:
        yield server


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_without_a_token_nothing_is_told(guarded: Server) -> None:
    for path in ("/info", "/jobs", "/jobs/job", "/jobs/job/tasks", "/events", "/events?job=job", "/jobs/job/journal"):
        for given in (None, "Bearer wrong", f"Basic {WRITE}", "Bearer", bearer(WRITE[:-1]), bearer(WRITE + "w")):
            answer = guarded.get(path, **({"Authorization": given} if given else {}))
            assert answer.status == 401, (path, given)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert list(answer.json) == ["error"]
    assert guarded.get("/healthz").status == 200
    assert guarded.get("/").status == 200  # the page itself asks for the token
    assert guarded.get("/openapi.json").status == 200


def test_one_token_reads_and_another_writes(guarded: Server, job: Path) -> None:
    for token, write in ((READ, False), ("another-good-token-of-somebody", False), (WRITE, True)):
        assert guarded.get("/info", Authorization=bearer(token)).json["write"] is write
        answer = guarded.post("/jobs/job/pause", Authorization=bearer(token))
        assert answer.status == (202 if write else 403)
    assert len([name for name in os.listdir(job / "inbox") if name.endswith(".drop.jsonl")]) == 1
    remote = guarded.get("/info", Authorization=bearer(READ), Host="jobs.example.org")
    assert remote.status == 200  # whoever knows a token may call the server what he likes


def test_a_foreign_page_can_change_nothing(base: Path, job: Path) -> None:
    with served(base) as server:
        for headers in (
            {},
            {"X_Air_Executor": "0"},
            {"Content_Type": "text/plain"},
            {"Origin": "http://evil.example"},
        ):
            assert server.ask("POST", "/jobs/job/cancel", {}, **headers).status == 403
        assert server.ask("OPTIONS", "/jobs/job/cancel", Origin="http://evil.example").status in (403, 405)
        assert "access-control-allow-origin" not in server.get("/jobs", Origin="http://evil.example").headers
    assert not os.path.exists(job / "inbox") or not os.listdir(job / "inbox")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5001", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.0.0.2"]
)
def test_a_rebound_name_is_refused(base: Path, job: Path, host: str) -> None:
    with served(base) as server:
        for path in ("/jobs", "/", "/events", "/openapi.json"):
            answer = server.get(path, Host=host)
            assert answer.status == 403, path
            assert b"job" not in answer.body.replace(b"localhost", b"")
        assert server.post("/jobs/job/cancel", Host=host).status == 403
        for good in ("localhost", f"localhost:{server.port}", "127.0.0.1:80", "[::1]:5001", "LOCALHOST"):
            assert server.get("/jobs", Host=good).status == 200, good


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
def test_other_users_of_the_machine_need_a_token(base: Path, job: Path) -> None:
    def asked_by(user: int, server: Server, *headers: str) -> bytes:
        os.seteuid(user)
        try:
            connection = socket.create_connection(("127.0.0.1", server.port))
        finally:
            os.seteuid(0)
        with connection:
            lines = ["GET /jobs HTTP/1.1", "Host: localhost", "Connection: close", *headers]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        return answer

    with served(base) as server:
        assert b" 200 " in asked_by(0, server).split(b"\r\n")[0]
        refused = asked_by(65_534, server)
        assert b" 403 " in refused.split(b"\r\n")[0]
        assert b'"job"' not in refused
    with served(base, AIR_EXECUTOR_TOKEN=WRITE) as server:
        assert b'"job"' in asked_by(65_534, server, f"Authorization: {bearer(WRITE)}")


def test_no_host_at_all_is_refused(base: Path, job: Path) -> None:
    with served(base) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /jobs HTTP/1.0\r\n\r\n")
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        assert b" 403 " in answer.split(b"\r\n")[0]


def test_listening_elsewhere_needs_a_token(base: Path, tmp_path: Path) -> None:
    refused = air_executor("serve", "--base", str(base), "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, code=2)
    assert refused.stderr.count("\n") == 1
    assert "--token-file" in refused.stderr
    with served(base, "--host", "0.0.0.0", AIR_EXECUTOR_TOKEN=WRITE) as server:
        assert server.get("/jobs").status == 401
        assert server.get("/jobs", Authorization=bearer(WRITE), Host="10.0.0.1").status == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "holds no token"), ("short\n", "16 or more"), ("with space in the middle", "16 or more")],
)
def test_a_bad_token_file_is_told_of_in_one_line(base: Path, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "token").write_text(content)
    options = ("serve", "--base", str(base), "--port", "0", "--token-file", "token")
    refused = air_executor(*options, cwd=tmp_path, code=2)
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_what_cannot_be_served_is_told_of_in_one_line(base: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, said, code in (
            (("--port", port), "already in use", 2),
            (("--host", "nowhere.invalid"), "cannot listen on nowhere.invalid", 2),
            (("--port", "0", "--tls-cert", "a", "--tls-key", "b"), "error: ", 2),
            (("--port", "0", "--tls-cert", "a"), "go together", 2),
            (("--port", "0", "--token-file", "none"), "none: No such file", 2),
            (("--port", "0", "--base", str(tmp_path / "none")), "no base folder", 6),
        ):
            given = options if "--base" in options else ("--base", str(base), *options)
            env = {"AIR_EXECUTOR_TOKEN": WRITE}
            refused = air_executor("serve", *given, cwd=tmp_path, code=code, env=env)
            assert said in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr


def test_without_the_extra_it_says_what_to_install(base: Path, tmp_path: Path) -> None:
    bare = tmp_path / "packages"
    bare.mkdir()
    for package in ("air_executor", "click", "msgspec", "yaml", "rich"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        (bare / package).symlink_to(spec.submodule_search_locations[0])
    done = subprocess.run(
        [sys.executable, "-S", "-m", "air_executor", "serve", "--base", str(base), "--port", "0"],
        env=environment(PYTHONPATH=str(bare)),
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == "air-executor: error: serving needs more packages: pip install 'air-executor[web]'\n"


def test_every_answer_carries_the_headers_of_safety(base: Path, job: Path) -> None:
    with served(base) as server:
        for path in ("/", "/jobs", "/jobs/none", "/nothing/here", "/healthz", "/docs", "/jobs/job/grid"):
            headers = server.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'self'"), path
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers
        assert server.get("/jobs").headers["cache-control"] == "no-store"
        assert server.get("/jobs", Host="evil.example").headers["x-content-type-options"] == "nosniff"


def test_no_path_leads_out_of_the_base(base: Path, job: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text("geheim")
    (tmp_path / "state.json").write_text('{"id": "x", "state": "failed", "reason": "geheim"}')
    (base / "manager.log").write_text("geheim")
    (base / "config.toml").write_text("# geheim")
    outside = base / "jobs" / "linked"
    outside.symlink_to(tmp_path)
    (base / "jobs" / "job" / "logs").symlink_to(tmp_path)
    (base / "jobs" / "files").mkdir()
    for name in ("state.json", "tasks.json", "journal.jsonl"):
        (base / "jobs" / "files" / name).symlink_to(tmp_path / "state.json")
    escapes = [
        "../../secret", "..", ".", "../jobs", "%2e%2e", "..%2f..%2fsecret", "../../../etc/passwd", "/etc/passwd",
        "job/../..", "....//", "\\..\\..", "job%00", "job\0", "\u202e", "x" * 300, "ü" * 128, "%ff", "linked",
    ]  # fmt: skip
    with served(base) as server:
        for escape in escapes:
            for quoted in (quote(escape, safe=""), quote(escape, safe="%/")):
                for path in (
                    f"/jobs/{quoted}", f"/jobs/{quoted}/progress", f"/jobs/job/tasks/{quoted}/log", f"/{quoted}",
                    f"/assets/{quoted}", f"/jobs/{quoted}/tasks/secret/log", f"/events?job={quoted}",
                ):  # fmt: skip
                    answer = server.get(path)
                    assert b"geheim" not in answer.body, path
                    assert answer.status in (404, 405, 422, 400, 200), path
                    assert b"root:" not in answer.body
        assert server.get("/jobs/job/tasks/secret/log").status == 404
        assert "linked" not in [found["name"] for found in server.get("/jobs").json["jobs"]]
        assert b"geheim" not in server.get("/jobs/files").body
        for name in ("a/b", ".x", "x\ny", "", "x" * 256):
            assert server.post("/jobs", {"name": name, "tasks": []}).status == 422, name


def test_bodies_that_make_no_sense_are_refused(base: Path, job: Path) -> None:
    with served(base) as server:
        deep = b"[" * 100_000
        for path in ("/jobs", "/jobs/job/tasks", "/jobs/job/cancel", "/jobs/job/retry"):
            for body in (b"{", b"\xff\xfe", deep, b'{"a":' * 5_000):
                assert server.ask("POST", path, body, X_Air_Executor="1").status == 400, (path, body[:10])
            for body in (b"[]", b"3", b'"x"', b"null"):
                assert server.ask("POST", path, body, X_Air_Executor="1").status == 422, (path, body)
        for wrong in (
            {"name": 3}, {"name": "x", "tasks": {}}, {"name": "x", "tasks": [3]}, {"name": "x", "tasks": [{}]},
            {"name": "x", "tasks": [{"command": 7}]}, {"name": "x", "cwd": "here"}, {"name": "x", "job_name": "y"},
            {"name": "x", "max_parallel": 0}, {"name": "x", "tasks": [{"command": "a\0b"}]}, {},
        ):  # fmt: skip
            assert server.post("/jobs", wrong).status == 422, wrong
        for wrong in ({"tasks": []}, {"tasks": "t"}, {"tasks": [3]}, {"task": 4}, {"task": ["t"]}):
            assert server.post("/jobs/job/cancel", wrong).status == 422, wrong
        assert server.post("/jobs/job/cancel", {"task": "nobody"}).status == 404
        assert server.post("/jobs/job/retry", {"tasks": ["t"]}).status == 409
        assert server.post("/jobs/job/tasks", {"tasks": [{"command": "true"}], "reopen": 1}).status == 422
        assert server.post("/jobs/none/tasks", {"tasks": [{"command": "true"}]}).status == 404
    assert sorted(os.listdir(base / "jobs")) == ["job"]


def test_requests_that_are_too_large_are_refused(base: Path, job: Path) -> None:
    with served(base) as server:
        assert server.get("/jobs?q=" + "x" * 20_000).status == 414
        assert server.get("/jobs/" + "x" * 9_000).status == 414
        for length in ("99999999999", "-1", "x"):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                head = (
                    f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nX-Air-Executor: 1\r\nContent-Length: {length}\r\n\r\n"
                )
                connection.sendall(head.encode())
                assert connection.recv(100).split(b" ")[1] in (b"413", b"400"), length
        before = server.memory_mb()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nX-Air-Executor: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
            sent = 0
            try:
                for _ in range(100):
                    connection.sendall(chunk)
                    sent += len(chunk)
                connection.sendall(b"0\r\n\r\n")
                answer = connection.recv(100)
            except OSError:
                answer = b""  # it was hung up on
        assert answer == b"" or answer.split(b" ")[1] == b"413"
        assert server.memory_mb() - before < 200
        assert server.get("/healthz").status == 200


def test_tls(base: Path, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    assert openssl, "openssl is needed to make a certificate"
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = TlsServer(base, "--tls-cert", str(certificate), "--tls-key", str(key), certificate=certificate)
    try:
        assert server.url.startswith("https://")
        assert server.get("/jobs").json["jobs"][0]["name"] == "job"
        with pytest.raises(errors.AirExecutorError, match="cannot be asked"):
            AirExecutorClient(url=server.url).jobs()  # a certificate nobody vouches for
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert AirExecutorClient(url=server.url).get_job("job")["state"] == "waiting"
    finally:
        server.stop()


class TlsServer(Server):
    """Asked by TLS, with the certificate it shows as the only one that is trusted."""

    def __init__(self, base: Path, *options: str, certificate: Path) -> None:
        self.context = ssl.create_default_context(cafile=str(certificate))
        super().__init__(base, *options)

    def connect(self, timeout: float = 30.0):  # type: ignore[no-untyped-def]
        import http.client

        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
