# SPDX-License-Identifier: BSD-2-Clause
"""Asks `unetmap serve` as its page would, and as others' pages would.

usage: serve_client.py [--token TOKEN] [--unix PATH] [--capture PORT FILE | --capture-and-wait PORT] [URL]
"""
import argparse
import http.client
import json
import socket
import sys
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("--token")
parser.add_argument("--unix")
parser.add_argument("--capture", nargs=2)
parser.add_argument("--capture-and-wait", dest="wait")
parser.add_argument("url", nargs="?", default="http://localhost/")
options = parser.parse_args()
netloc = urllib.parse.urlsplit(options.url).netloc


def connect() -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(netloc, timeout=60)
    if options.unix:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(options.unix)
    return connection


def ask(path, method="GET", body=None, **headers):
    """Status, headers and body of an answer."""
    connection = connect()
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": netloc, **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def expect(status, *arguments, **headers):
    got, _, body = ask(*arguments, **headers)
    if got != status:
        sys.exit(f"{arguments} {headers}: {got}, not {status}: {body[:200]!r}")
    return body


if options.wait:
    try:
        ask(f"/api/capture?seconds=300&port={urllib.parse.quote(options.wait)}")
    except (OSError, http.client.HTTPException):
        pass
    sys.exit(0)
if options.capture:
    port, file = options.capture
    data = expect(200, f"/api/capture?seconds=2&port={urllib.parse.quote(port)}")
    assert data[:4] == b"\x0a\x0d\x0d\x0a", data[:16]
    with open(file, "wb") as out:
        out.write(data)
    sys.exit(0)
if options.token:
    bearer = {"Authorization": f"Bearer {options.token}"}
    expect(401, "/")
    expect(401, "/metrics")
    expect(401, "/api/live", Authorization="Bearer wrong")
    status, headers, _ = ask(f"/?token={options.token}")
    cookie = headers["Set-Cookie"].split(";")[0]
    assert status == 200 and "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"], headers
    expect(200, "/api/live", Cookie=cookie)
    expect(200, "/metrics", **bearer)
    expect(403, "/api/set", "POST", b"{}", **bearer)
    sys.exit(0)
if options.unix:
    assert b"unetmap_up 1" in expect(200, "/metrics")
    assert b"unetmap_up 1" in expect(200, "http://any.example/metrics")
    expect(403, "/api/set", "POST", b"{}")
    sys.exit(0)

own = f"http://{netloc}"
status, headers, page = ask("/")
assert status == 200 and b"<title>unetmap</title>" in page
for name, value in (("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Cache-Control", "no-store")):
    assert headers[name] == value, (name, headers[name])
assert "default-src 'self'" in headers["Content-Security-Policy"]
assert b"http://" not in page.replace(b"http://www.w3.org", b"") and b"https://" not in page, "the page names an outside address"
expect(200, "/app.js")
expect(200, "/style.css")
for path in ("/nothing", "/../etc/passwd", "/vendor/../../x", "/%2e%2e/x", "/api/nothing"):
    expect(404, path)
live = json.loads(expect(200, "/api/live"))
assert {"vale0:rx", "vale0:tx"} <= {port["name"] for port in live["ports"]}
assert json.loads(expect(200, "/api/fdb?switch=vale0"))["switch"] == "vale0"
expect(404, "/api/fdb?switch=vale99")
expect(200, "/api/ports")
expect(200, "/api/daemon")
expect(200, "/api/live", Origin=own, Sec_Fetch_Site="same-origin")
# Whole addresses, as to a proxy: their host counts, whatever the field says.
expect(200, f"{own}/api/fdb?switch=vale0")
expect(200, f"{own}?any=1", Host="evil.example")
expect(421, "http://evil.example/api/live")
expect(400, f"https://{netloc}/")
expect(404, f"{own}/nothing")
# Fields that say twice what may be said once.
def twice(*fields):
    """The status of a request with these fields as they are."""
    connection = connect()
    connection.putrequest("GET", "/api/live", skip_host=True)
    for name, value in fields:
        connection.putheader(name, value)
    connection.endheaders(b"abcde" if any(name == "Content-Length" for name, _ in fields) else None)
    return connection.getresponse().status


assert twice(("Host", netloc)) == 200
for fields in (
    [("Host", netloc), ("Host", "evil.example")],
    [("Host", "evil.example"), ("Host", netloc)],
    [("Host", netloc), ("Content-Length", "5"), ("Content-Length", "3")],
):
    assert twice(*fields) == 400, fields
# Other names, other sites.
expect(421, "/", Host="evil.example")
expect(403, "/api/live", Origin="http://evil.example")
expect(403, "/metrics", Sec_Fetch_Site="cross-site")
expect(403, "/api/capture?port=vale0:tx", Sec_Fetch_Site="same-site")
# Changes.
change = json.dumps({"port": "vale0:rx", "lossless": True}).encode()
expect(403, "/api/set", "POST", change)
expect(403, "/api/set", "POST", change, Origin="http://evil.example")
expect(200, "/api/set", "POST", change, Origin=own)
assert [p for p in json.loads(expect(200, "/api/ports"))["ports"] if p["name"] == "vale0:rx"][0]["lossless"] is True
expect(400, "/api/set", "POST", b'{"port":"vale0:rx","colour":"red"}', Origin=own)
expect(400, "/api/set", "POST", b"[1]", Origin=own)
expect(413, "/api/set", "POST", b"x" * 70000, Origin=own)
expect(405, "/api/live", "PUT", b"", Origin=own)
# Captures that cannot be.
expect(404, "/api/capture?port=vale0:none")
expect(400, "/api/capture")
expect(400, "/api/capture?port=vale0:tx&seconds=0")
expect(400, "/api/capture?port=vale0:tx&seconds=1e9")
# Metrics of both kinds.
status, headers, text = ask("/metrics")
assert headers["Content-Type"].startswith("application/openmetrics-text") and text.endswith(b"# EOF\n")
assert b"# EOF" not in expect(200, "/metrics?format=prometheus")
