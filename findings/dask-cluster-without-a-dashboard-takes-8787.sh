#!/usr/bin/env bash
# A Dask cluster whose dashboard is disabled listens on the dashboard's port all the same, and warns where it is taken.
#
# Seen with distributed 2026.8.0: LocalCluster(dashboard_address=None), of which the reference says "Set to None to disable
# the dashboard", binds 127.0.0.1:8787. A second one on the same machine, or any other program there, gives
#   UserWarning: Port 8787 is already in use.
# and the server takes another port. Expected: no port at all, or a free one, as with ":0".
# What follows: tests that make warnings errors fail whenever two of them run at once; give the address 127.0.0.1:0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0
cat > show.py <<'P'
import socket
import warnings

from distributed import LocalCluster

taken = socket.socket()
try:
    taken.bind(("127.0.0.1", 8787))
    taken.listen()
except OSError:
    pass  # somebody has it: as good


def said(address):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with LocalCluster(
            n_workers=0, processes=False, dashboard_address=address, protocol="tcp", host="127.0.0.1"
        ) as cluster:
            port = cluster.scheduler.http_server.port
    return port, [str(one.message).splitlines()[0] for one in seen if "8787" in str(one.message)]


if __name__ == "__main__":
    port, warned = said(None)
    print("dashboard_address=None: listens on", port, warned)
    assert port not in (None, 8787) and warned == ["Port 8787 is already in use."]
    port, warned = said("127.0.0.1:0")
    print("dashboard_address=127.0.0.1:0: listens on", port, warned)
    assert warned == []
    taken.close()
    port, warned = said(None)
    print("dashboard_address=None, 8787 free again: listens on", port, warned)
P
venv/bin/python show.py
echo "as seen before"
