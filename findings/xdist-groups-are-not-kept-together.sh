#!/usr/bin/env bash
# pytest-xdist's marker xdist_group and --dist loadgroup promise that all tests of a group run in one worker. xdist adds
# "@group" to a private attribute of each test, from which the test's nodeid no longer follows in pytest 9.2.
#
# Seen with pytest 9.2.0 and pytest-xdist 3.8.0: 40 tests of one group run in both of two workers, without a warning.
# With pytest 8.4.2 they run in one. Expected: one worker.
# What follows for tests that share a dear fixture: look at where they ran, or group them by another scheduler.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > test_group.py <<'P'
import os
from pathlib import Path

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(40))
def test_where(number):
    with Path(os.environ["PLACES"]).open("a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
P
workers() { # workers PYTEST_VERSION
  python3 -m venv "venv-$1"
  "venv-$1/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
  PLACES=$PWD/$1 "venv-$1/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup >/dev/null
  sort -u "$1" | wc -l
}
new=$(workers 9.2.0) old=$(workers 8.4.2)
echo "workers that ran the group: pytest 9.2.0: $new, pytest 8.4.2: $old"
[ "$new" = 2 ] && [ "$old" = 1 ]
echo "as seen before"
