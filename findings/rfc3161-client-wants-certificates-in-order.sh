#!/usr/bin/env bash
# rfc3161-client cannot read a time-stamp whose certificates are not in the order that DER gives a set.
#
# Seen with rfc3161-client 1.0.9 and OpenSSL 3.0: `openssl ts -reply` writes a chain (`certs = FILE`) in the order in which
# it was read, behind the signer's certificate, and `openssl ts -verify` takes it. decode_timestamp_response says
#   ValueError: … InvalidSetOrdering
# unless the order happens to be DER's. Expected: read, as others read it, or sorted by the writer.
# What follows: sort the certificates, which no signature covers, before the library sees them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check rfc3161-client==1.0.9
openssl version
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" "${@:2}" 2>/dev/null; }
new root -x509 -out root.pem -days 9
# A long name: in DER the shorter of two certificates of a set comes first.
new authority -out authority.csr
printf 'extendedKeyUsage=critical,timeStamping\nbasicConstraints=critical,CA:FALSE\n%s\n' \
  'nsComment=a comment that makes this certificate longer than the one of the root, so that it does not come first' > extensions
openssl x509 -req -in authority.csr -CA root.pem -CAkey root.key -days 9 -extfile extensions -out authority.pem 2>/dev/null
cat > tsa.cnf <<'C'
[tsa]
default_tsa = t
[t]
serial = serial
signer_cert = authority.pem
signer_key = authority.key
certs = root.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
C
echo 01 > serial
echo data > data
openssl ts -query -data data -sha256 -cert -out query 2>/dev/null
openssl ts -reply -config tsa.cnf -queryfile query -out answer 2>/dev/null
openssl ts -verify -data data -in answer -CAfile root.pem 2>/dev/null
venv/bin/python - <<'P'
from pathlib import Path

from rfc3161_client import decode_timestamp_response

try:
    decode_timestamp_response(Path("answer").read_bytes())
except ValueError as error:
    print("rfc3161-client:", error)
    assert "InvalidSetOrdering" in str(error), "another reason"
else:
    raise SystemExit("rfc3161-client reads it now")
P
