# SPDX-License-Identifier: BSD-2-Clause
"""Starts a Prometheus that scrapes HOST:PORT, and asks it for a sender's packets until it has them. usage: prometheus_scrapes.py TARGET FOLDER"""
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

target, folder = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
config = folder / "prometheus.yml"
config.write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: unetmap
    static_configs: [{{targets: ["{target}"]}}]
""")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    listen = "127.0.0.1:%d" % probe.getsockname()[1]
log = folder / "prometheus.log"
server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={listen}"],
                          stdout=subprocess.DEVNULL, stderr=log.open("w"))


def query(expression: str) -> list:
    with urllib.request.urlopen(f"http://{listen}/api/v1/query?query={urllib.parse.quote(expression)}", timeout=10) as reply:
        return json.load(reply)["data"]["result"]


try:
    end = time.monotonic() + 90
    while True:
        if server.poll() is not None:
            sys.exit(f"Prometheus ended: {log.read_text()[-500:]}")
        try:
            found = query('unetmap_port_packets_total{port="vale0:tx",direction="transmit"}')
            if found and float(found[0]["value"][1]) > 0:
                break
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > end:
            sys.exit(f"no sample in 90 s: {log.read_text()[-500:]}")
        time.sleep(0.2)  # its next scrape: there is nothing to wait on
    assert query("up")[0]["value"][1] == "1"
    assert found[0]["metric"]["switch"] == "vale0", found
    with urllib.request.urlopen(f"http://{listen}/api/v1/metadata?metric=unetmap_port_packets", timeout=10) as reply:
        kinds = [entry["type"] for entry in json.load(reply)["data"].get("unetmap_port_packets", [])]
    assert kinds in (["counter"], []), kinds
    assert not re.search(r"level=error", log.read_text()), "Prometheus complains"
finally:
    server.terminate()
    server.wait(30)
