# `make run`: the workflow on the bundled sample. `make test`: the tests. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
# Snakemake passes Python's path to a shell without quotes. If the path of this folder has a space, the
# environment is elsewhere, and .venv is a link to it.
ifneq ($(words $(CURDIR)),1)
ifeq ($(words $(HOME)),1)
VENV := $(HOME)/.cache/meanface/venv-$(firstword $(shell printf %s "$(CURDIR)" | cksum))
endif
endif
BIN := $(VENV)/bin
# pip would write 100 MB of bytecode that no run loads. The first run writes what it loads.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile
LOCKED := $(PIP) --require-hashes --only-binary :all: --requirement

.PHONY: run report provenance pictures cluster test test-slow lint bench monitor dist lock clean

run: $(VENV)/run
	$(BIN)/snakemake --cores all

# Writes the results as one page to read, results/report.html. For photos of your own:
# `make report ARGS='--config photos=/data/party.zip'`.
report: $(VENV)/run
	$(BIN)/snakemake $(ARGS) --cores all report all

# Snakemake's own report, results/provenance.html: the code, time and software of each step.
provenance: $(VENV)/pictures
	$(BIN)/snakemake --cores all $(ARGS) --report-after-run --report results/provenance.html \
	    --report-stylesheet "$(CURDIR)/report/style.css" pictures all

# Installs the packages that draw pictures. `make provenance` does this as well.
pictures: $(VENV)/pictures

# Installs the packages for SLURM and Kubernetes, see docs/cluster.md.
cluster: $(VENV)/cluster

test: $(VENV)/dev
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: $(VENV)/dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/codespell
	$(BIN)/mkdocs build --strict --quiet

# With photos of your own (archives, folders, patterns, or a URL and its checksum):
# `make bench ARGS='--photos lfw.tgz --repeat 2'`.
bench: $(VENV)/pictures
	$(BIN)/python benchmarks/compare.py $(ARGS)

# Shows the runs that were started with `--logger snkmt`, at http://127.0.0.1:8001
monitor: $(VENV)/cluster
	$(BIN)/python deploy/monitoring/serve.py $(MONITOR) > /dev/null

# Builds the library as a wheel and as a source package, in dist/.
dist: $(VENV)/run
	$(BIN)/python -m flit_core.wheel --outdir dist
	$(BIN)/python -c 'from flit_core.buildapi import build_sdist; build_sdist("dist")'

# Pins the newest versions; needs uv. The largest set comes first, and its pins bind the others.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --only-binary :all: --excludes excludes.txt --no-header --no-annotate --quiet \
    --group build --extra reference
BOUND := $(COMPILE) --constraint requirements-dev.lock
CLUSTER := --extra slurm --extra kubernetes --extra monitor
lock:
	$(COMPILE) --extra pictures $(CLUSTER) --group dev -o requirements-dev.lock
	$(BOUND) $(CLUSTER) -o requirements-cluster.lock
	$(BOUND) --extra pictures -o requirements-pictures.lock
	$(BOUND) -o requirements.lock

# meanface itself is installed as a link to this folder, so `git pull` updates meanface.
$(VENV)/run: requirements.lock pyproject.toml
	@$(PYTHON) envs/check.py $(VENV)
	$(PYTHON) -m venv $(VENV)
	[ -e .venv ] || ln -sfn $(VENV) .venv
	$(LOCKED) requirements.lock
	$(PIP) --no-index --no-build-isolation --editable .
	touch $@

$(VENV)/pictures $(VENV)/cluster $(VENV)/dev: $(VENV)/%: requirements-%.lock $(VENV)/run
	$(LOCKED) $<
	touch $@

clean:
	rm -rf results/* .snakemake
