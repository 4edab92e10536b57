#!/usr/bin/env bash
# A ZIP file may carry the ZIP64 end records although no number in it needs them (APPNOTE 4.3.14: nothing forbids it,
# and writers of streams do it). JSZip takes the 76 bytes for data put before the archive and refuses the file.
#
# Seen with jszip 3.10.2: "Corrupted zip or bug: expected 3 records in central dir, got 0"; fflate 0.8.3 and Python's
# zipfile read all three files. Expected: three files.
# What follows for a page that opens such files in a browser: another library.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent jszip@3.10.2 fflate@0.8.3
python3 - <<'P'
import zipfile

zipfile.ZIP_FILECOUNT_LIMIT = 0  # makes Python's own writer add the ZIP64 end records
with zipfile.ZipFile("three.zip", "w") as archive:
    for number in range(3):
        archive.writestr(f"{number}.txt", str(number))
with zipfile.ZipFile("three.zip") as archive:
    assert len(archive.namelist()) == 3
P
cat > show.js <<'J'
const data = require("fs").readFileSync("three.zip");
console.log("fflate", Object.keys(require("fflate").unzipSync(data)).length);
require("jszip").loadAsync(data).then(
  (zip) => console.log("jszip", Object.keys(zip.files).length),
  (error) => console.log("jszip", error.message),
);
J
node show.js | tee seen
grep -qx "fflate 3" seen
grep -q "jszip Corrupted zip or bug: expected 3 records in central dir, got 0" seen
echo "as seen before"
