# Wraps three things and nothing else: a virtual environment from pinned locks, snakemake, pytest.
PYTHON ?= python3
SCALE ?= laptop
PORT ?= 5000
BIN := .venv/bin
# Where a machine gets its packages from holds here too; where it installs them, in variables or pip's files, does not.
unexport PYTHONHOME PIP_PYTHON PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_REQUIRE_HASHES
PIP_INSTALL = env -u PYTHONPATH $(BIN)/python -m pip install --no-user --target= --prefix "$$PWD/.venv" --root /
# Every file has the hash that its lock says, and what is built is built with envs/build.lock.
INSTALL = $(PIP_INSTALL) --require-hashes --no-build-isolation --use-pep517
# An environment that was copied or moved here, or whose Python is gone, is made anew.
FOREIGN := $(shell test ! -e .venv || { test -x $(BIN)/python && \
	test "$$(sed -n 's/^command = .* -m venv //p' .venv/pyvenv.cfg)" = "$$(pwd -P)/.venv"; } || echo foreign)
# Scales of which a scale is made, which have their results in folders of their own.
PARTS = $(shell sed -n 's/^scales: *\[\(.*\)\].*/\1/p' 'workflow/config/$(SCALE).yaml' 2>/dev/null | tr ',' ' ')

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help reproduce setup test check docs unlock publish mlflow slurm gpu-check lock clean scale foreign

help:                          ## list what there is to make
	@awk -F ':.*## *' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

reproduce: scale .venv/.study $(if $(findstring libero,$(SCALE))$(filter full%,$(SCALE)),.venv/.libero)  ## run a scale to its report: make reproduce [SCALE=smoke]
	$(BIN)/python -m snakemake --cores all --config scale=$(SCALE)
	@$(BIN)/gipo verify $(SCALE) || true
	@$(BIN)/gipo answer $(SCALE)
	@echo "Report: results/$(SCALE)/report.html"

setup: .venv/.study            ## only make the environment, .venv

test: .venv/.test              ## style, types, layers and tests: make test [SLOW=1]
	PATH="$$PWD/$(BIN):$$PATH" $(MAKE) --no-print-directory check
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(SLOW),-m "" --durations 25)

check: .venv/.test             ## style, types and layers only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.test              ## build the documents and a reference of the library as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Site: site/index.html"

unlock:                        ## remove the lock of a Snakemake that was killed, if it says that it is locked
	rm -rf .snakemake/locks .snakemake/processes

publish:                       ## copy a finished scale into reports/, from which every figure can be drawn again
	@test -e results/$(SCALE)/manifests/report.json || { echo "error: results/$(SCALE) has no report: run make reproduce SCALE=$(SCALE) first" >&2; exit 1; }
	@mkdir -p reports
	for scale in $(SCALE) $(PARTS); do \
	rm -rf reports/$$scale && cp -r results/$$scale reports && rm -f reports/$$scale/tracked.json || exit 1; \
	test ! -e reports/$$scale/figures/iqm.csv || $(BIN)/gipo picture reports/$$scale || exit 1; done

mlflow: .venv/.study           ## browse the runs on http://127.0.0.1:5000
	exec env PATH="$$PWD/$(BIN):$$PATH" MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow server --workers 1 --host 127.0.0.1 --port $(PORT) \
	--backend-store-uri sqlite:///results/mlflow.db --artifacts-destination results

slurm: .venv/.slurm .venv/.libero  ## set up `snakemake --profile slurm`; then edit profiles/slurm/site.yaml
	test -e profiles/slurm/site.yaml || cp profiles/slurm/site.example.yaml profiles/slurm/site.yaml
	ln -sfn profiles/slurm slurm
	@echo "Edit profiles/slurm/site.yaml, then: gipo doctor --profile slurm"

gpu-check: .venv/.libero       ## check this machine's GPUs and measure them, in a few minutes, without a network
	$(BIN)/gipo doctor --gpu

lock: .venv/.test              ## resolve pyproject.toml anew into envs/*.lock
	$(BIN)/python envs/lock.py

clean:                         ## remove the environment; results stay
	rm -rf .venv

scale:
	@test -e 'workflow/config/$(SCALE).yaml' || $(PYTHON) envs/check.py scale '$(SCALE)'

foreign:
	@echo "The environment .venv was made elsewhere, or its Python is gone: it is made anew."

.venv/.python: $(FOREIGN)
	@$(PYTHON) envs/check.py python
	$(if $(FOREIGN),rm -rf .venv)
	$(PYTHON) -m venv .venv
	touch $@

.venv/.study: .venv/.python $(addprefix envs/,$(addsuffix .lock,build torch cuda metaworld report)) pyproject.toml
	$(INSTALL) --requirement envs/build.lock
	$(INSTALL) --quiet --no-deps --no-index --requirement envs/torch.lock 2>/dev/null || true  # where find-links has one
	$(INSTALL) --requirement envs/metaworld.lock --requirement envs/report.lock --constraint envs/cuda.lock
	$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	touch $@

.venv/.libero: .venv/.study envs/libero.lock
	$(INSTALL) --no-deps --requirement envs/libero.lock
	touch $@

.venv/.slurm: .venv/.study envs/slurm.lock
	$(INSTALL) --no-deps --requirement envs/slurm.lock
	touch $@

.venv/.test: .venv/.libero .venv/.slurm envs/dev.lock
	$(INSTALL) --no-deps --requirement envs/dev.lock
	touch $@
