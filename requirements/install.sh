#!/bin/sh
# sh requirements/install.sh VENV FILE: the packages of a file, each checked by its hash, into a virtual environment.
# By uv, which takes a tenth of the time of pip and keeps what it unpacked for the next environment. UV is one that is there; else it
# comes into the environment first. Where it fails, as it knows little of the configuration of pip, pip does it.
# Nothing is compiled: Python does that to what is used, when it is; to compile all of it takes as long as to unpack it.
set -eu
venv=$1
file=$2
uv=${UV:-$venv/bin/uv}
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"; fi
if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi

by_pip() {
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --require-hashes -r "$1"
}

[ -n "${UV:-}" ] || by_pip "$(dirname "$0")/installer.txt"
if ! "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$file"; then
  echo "uv has not installed $file; now pip does" >&2
  by_pip "$file"
fi
