# `make demo` and `make test` do everything on a fresh machine that has Python 3.11 or later and a package registry.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SOURCES := archive bench cli docs spec tests
# Python keeps what it compiles, whatever the environment says: tests start the command hundreds of times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check behaviour test-mariadb test-browser test-matrix test-newest test-versions test-readers test-campaigns test-hostile test-cuts test-repair test-retire test-road test-workers mutants lint style types bench bench-database bench-inspection bench-traces bench-road bench-single-file bench-compact bench-buckets bench-append bench-restore bench-rows bench-postgresql bench-tree bench-waiting bench-scale docs picture spec requirements clean

demo: .venv-demo/.stamp
	.venv-demo/bin/python demo/run.py

# WORKERS may be more than there are cores: tests wait a sixth of their time.
WORKERS ?= 2
test: lint
	.venv/bin/pytest -n $(WORKERS)

# Before every commit: lint, types, and the tests that start no server and are not slow (tests/support/needs.py).
check: lint
	.venv/bin/pytest -n 2 -m "not server and not slow"

# Whether exports and the calls of imports are as they were: two commands mlflow-archive on the same data, which the
# first run fills. OLD is the command of another virtual environment; build/behaviour keeps its recording.
behaviour: .venv/.stamp
	@test -n "$(OLD)" || { echo "make behaviour OLD=/path/to/venv/bin/mlflow-archive" >&2; exit 1; }
	test -d build/behaviour/data || .venv/bin/python -m tests.behaviour fill build/behaviour/data
	test -d build/behaviour/before || .venv/bin/python -m tests.behaviour record build/behaviour/data build/behaviour/before $(OLD)
	rm -rf build/behaviour/after
	.venv/bin/python -m tests.behaviour record build/behaviour/data build/behaviour/after .venv/bin/mlflow-archive
	.venv/bin/python -m tests.behaviour compare build/behaviour/before build/behaviour/after

# Needs Debian's package mariadb-server; its own tests run on a server that they start.
test-mariadb: .venv/.stamp
	@command -v mariadbd >/dev/null || { echo "mariadbd is not installed: apt-get install mariadb-server" >&2; exit 1; }
	TEST_MARIADB=1 .venv/bin/pytest tests/mariadb

# Needs Debian's packages chromium and chromium-driver; screenshots go to build/screenshots.
test-browser: .venv/.stamp
	@command -v chromedriver >/dev/null || { echo "no chromedriver: apt-get install chromium chromium-driver" >&2; exit 1; }
	TEST_BROWSER=1 .venv/bin/pytest tests/browser

# Round trips with real servers of MLflow 2.9, 2.22, 3.1, 3.17 and 3.18. Needs python3.11 and a package registry: each version
# is installed into .venv-matrix (3 GB in all).
test-matrix: .venv/.stamp
	TEST_MATRIX=1 .venv/bin/pytest --timeout 1800 tests/matrix

# What the newest MLflow of the package registry has, in tables, columns, revisions and routes, that this version does
# not know: each is named. Fails the day that a release adds something.
test-newest: .venv/.stamp
	TEST_NEWEST=1 .venv/bin/pytest tests/newest

# What the package does, done with the lowest and with the newest release of each of its requirements, all extras. Needs a
# package registry: uv installs them into .venv-versions (4 GB in all).
test-versions: .venv/.stamp
	TEST_VERSIONS=1 .venv/bin/pytest --timeout 1800 tests/versions

# Other programs read the tables of an archive: the page docs/other-readers.md, tried. Needs a package registry; hyparquet is
# tried where Node and npm are installed.
test-readers: .venv/.stamp .venv-readers/.stamp
	TEST_READERS=1 .venv/bin/pytest tests/readers

# Hours: exports and imports through a proxy that spoils a fifth of all requests, pairs of imports at once, 900 kills.
# SEED decides all chance; RUNS is how many exports, imports and pairs, KILLS how many kills of each verb.
SEED ?= 1
RUNS ?= 20
KILLS ?= 300
test-campaigns: .venv/.stamp
	.venv/bin/python -m tests.campaigns --seed "$(SEED)" --runs "$(RUNS)" --kills "$(KILLS)"

# An hour and more: archives made to harm, every hash right, through every command. SEED decides all chance; the numbers
# from FIRST on are tried, so that a run goes on where another ended.
MUTANTS ?= 2000
FIRST ?= 0
test-hostile: .venv/.stamp
	.venv/bin/python -m tests.hostile --seed "$(SEED)" --mutants "$(MUTANTS)" --first "$(FIRST)"

# An import cut off at every request, an export at every file operation and at twice as many random moments, every tenth bit of a
# file flipped, twice as many made-up stores there and back: `make test` tries some of these places.
test-cuts: .venv/.stamp
	TEST_CUTS=1 .venv/bin/pytest -n 2 --timeout 1800 $$(grep -rl tests.support.cuts tests --include=test_*.py)

# Minutes: 200 pairs of copies with 200 random damages each, every member lost in turn, a kill at every file operation.
test-repair: .venv/.stamp
	TEST_REPAIR=1 .venv/bin/pytest --timeout 1800 tests/repairing tests/writer/test_compact.py

# Minutes: 300 kills of a retirement, over REST and in a database.
test-retire: .venv/.stamp
	TEST_RETIRE=1 .venv/bin/pytest --timeout 1800 tests/retiring/test_killed.py tests/retiring/test_purge.py

# Small faults put into the code one at a time: does a test fail? PACKAGE is one of tests/mutants/packages.py. A run that
# was stopped goes on; AGAIN=1 tries those once more that no test found. DRAW=300 tries so many, which SEED draws from all;
# JOBS=1 tries one at a time. docs/testing.md has the scores.
mutants: .venv/.mutants
	@test -n "$(PACKAGE)" || { echo "make mutants PACKAGE=format" >&2; exit 1; }
	.venv/bin/python -m tests.mutants "$(PACKAGE)" $(if $(AGAIN),--again) $(if $(DRAW),--draw "$(DRAW)") --seed "$(SEED)" --jobs $(or $(JOBS),2)

# Archives on the way, the long forms: every bit of signatures and tokens flipped, 500 random damages of volumes, a kill at
# every file operation, full disks. Four minutes of processor time, half of it in ssh-keygen. Needs ssh-keygen and openssl.
test-road: .venv/.stamp
	TEST_ROAD=1 .venv/bin/pytest --timeout 1800 tests/road

# Minutes: 60 kills of workers of a Dask cluster at random moments of an export, into a directory and into a bucket.
# And two processes verify every vector.
test-workers: .venv/.stamp
	TEST_WORKERS=1 .venv/bin/pytest --timeout 1800 tests/workers tests/verification/test_by_workers.py

lint: .venv/.stamp
	@$(MAKE) --no-print-directory -j2 types style

types: .venv/.stamp
	.venv/bin/mypy --num-workers 2 $(SOURCES)

style: .venv/.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-logo

bench: .venv/.stamp bench-database bench-inspection bench-traces
	.venv/bin/python -m bench.run

bench-inspection: .venv/.stamp
	.venv/bin/python -m bench.inspection

bench-traces: .venv/.stamp
	.venv/bin/python -m bench.traces

# Not part of `make bench`: 10 GB are packed, and need 40 GB of disk.
bench-road: .venv/.stamp
	.venv/bin/python -m bench.road

# A compaction of which every pack stays whole, beside a check of the same bytes. Needs 2.5 GB of disk.
bench-compact: .venv/.stamp
	.venv/bin/python -m bench.compact

# DATA is a folder with mlflow.db and artifacts; OTHER may be the command of another version.
bench-single-file: .venv/.stamp
	.venv/bin/python -m bench.single_file --data $(DATA) $(if $(OTHER),--other $(OTHER)) $(if $(PAIRS),--pairs $(PAIRS))

# One figure each beside its reference, in turn; PAIRS is 5 unless it is told. append needs neither, restore needs OTHER.
BESIDE = .venv/bin/python -m bench.beside $(@:bench-%=%) $(if $(DATA),--data $(DATA)) $(if $(OTHER),--other $(OTHER)) \
	$(if $(PAIRS),--pairs $(PAIRS))

bench-append: .venv/.stamp
	$(BESIDE)

bench-restore: .venv/.stamp
	$(BESIDE)

bench-rows: .venv/.stamp
	$(BESIDE)

bench-postgresql: .venv/.stamp
	$(BESIDE)

bench-tree: .venv/.stamp
	$(BESIDE)

# An artifact of 150 MB out of an archive in a bucket, beside a bare download.
bench-buckets: .venv/.stamp
	.venv/bin/python -m bench.buckets

# Two processes against one, and a server that only waits.
bench-waiting: .venv/.stamp
	.venv/bin/python -m bench.waiting

# RUNS runs of 1,000 points each, made as they are read: time and memory of each step, and the disk that it takes, said first.
RUNS ?= 10000
bench-scale: .venv/.stamp
	.venv/bin/python -m bench.scale --runs "$(RUNS)" $(if $(PROCESSES),--processes "$(PROCESSES)") $(if $(FOLDER),--folder "$(FOLDER)") $(if $(RECORD),--record "$(RECORD)")

bench-database: .venv/.stamp
	.venv/bin/python -m bench.database

# The site, below build/site. Needs no network once the packages are there.
docs: .venv/.stamp .venv-docs/.stamp
	.venv/bin/python docs/make.py
	.venv-docs/bin/mkdocs build --quiet

# The pages of the specification that are made from code: spec/tables.md and spec/mlflow.md.
spec: .venv/.stamp
	.venv/bin/python -m spec.generate

# The pictures of docs/architecture.md, drawn from text. Needs Debian's package graphviz.
picture:
	for name in architecture run; do dot -Tsvg docs/$$name.dot -o docs/$$name.svg || exit 1; done

.venv-docs/.stamp: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	touch $@

# The exact packages, checked by hash. The package itself is installed editable, with the build tools listed there.
.venv/.stamp: requirements/dev.txt requirements/installer.txt pyproject.toml
	$(PYTHON) -m venv .venv
	sh requirements/install.sh .venv requirements/dev.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv-readers/.stamp: requirements/readers.txt tests/readers/package-lock.json
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/readers.txt
	if command -v npm >/dev/null; then \
	  cp tests/readers/package.json tests/readers/package-lock.json .venv-readers/ && cd .venv-readers && npm ci --silent; fi
	touch $@

# The exact packages anew, with their hashes: what is there already stays as it is, where it still fits.
UV ?= uv
COMPILE := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
requirements:
	$(COMPILE) pyproject.toml -o requirements/core.txt
	$(COMPILE) pyproject.toml --extra all -o requirements/all.txt
	$(COMPILE) pyproject.toml --extra server -o requirements/demo.txt
	$(COMPILE) pyproject.toml --group dev $(addprefix --extra ,server postgresql mysql sql pandas plot s3 sftp cloud road timestamp scan dask) -o requirements/dev.txt
	$(COMPILE) --group docs -o requirements/docs.txt
	$(COMPILE) --group readers -o requirements/readers.txt
	$(COMPILE) --group mutants -c requirements/dev.txt -o requirements/mutants.txt
	$(COMPILE) --group installer -o requirements/installer.txt

.venv/.mutants: requirements/mutants.txt .venv/.stamp
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	touch $@

.venv-demo/.stamp: requirements/demo.txt requirements/installer.txt pyproject.toml $(shell find archive cli -name '*.py')
	$(PYTHON) -m venv .venv-demo
	sh requirements/install.sh .venv-demo requirements/demo.txt
	.venv-demo/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-docs .venv-matrix .venv-readers .venv-versions build dist
