# Wraps three things and nothing else: a virtual environment from pinned locks, snakemake, pytest.
PYTHON ?= python3
SCALE ?= laptop
BIN := .venv/bin
# Where a machine gets its packages from holds here too; where it installs them, in variables or pip's files, does not.
unexport PYTHONHOME PIP_PYTHON PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_REQUIRE_HASHES
INSTALL = env -u PYTHONPATH $(BIN)/python -m pip install --no-user --target= --prefix "$$PWD/.venv" --root /
# An environment that was copied or moved here, or whose Python is gone, is made anew.
FOREIGN := $(shell test ! -e .venv || { test -x $(BIN)/python && \
	test "$$(sed -n 's/^command = .* -m venv //p' .venv/pyvenv.cfg)" = "$$(pwd -P)/.venv"; } || echo foreign)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help reproduce setup test check unlock publish mlflow slurm lock clean scale foreign

help:                          ## list what there is to make
	@awk -F ':.*## *' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

reproduce: scale .venv/.study $(if $(findstring libero,$(SCALE))$(filter full%,$(SCALE)),.venv/.libero)  ## run a scale to its report: make reproduce [SCALE=smoke]
	$(BIN)/python -m snakemake --cores all --config scale=$(SCALE)
	@echo "Report: results/$(SCALE)/report.html"

setup: .venv/.study            ## only make the environment, .venv

test: .venv/.test              ## style, types, layers and tests: make test [SLOW=1]
	PATH="$$PWD/$(BIN):$$PATH" $(MAKE) --no-print-directory check
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(SLOW),-m "")

check: .venv/.test             ## style, types and layers only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports

unlock:                        ## remove the lock of a Snakemake that was killed, if it says that it is locked
	rm -rf .snakemake/locks .snakemake/processes

publish:                       ## copy a finished scale into reports/, from which every figure can be drawn again
	mkdir -p reports/$(SCALE)/figures
	cp -r results/$(SCALE)/report.html results/$(SCALE)/*.csv results/$(SCALE)/tables results/$(SCALE)/gridworld $(wildcard results/$(SCALE)/sweeps) reports/$(SCALE)
	cp results/$(SCALE)/figures/*.csv results/$(SCALE)/figures/scorecard.png reports/$(SCALE)/figures
	$(BIN)/gipo picture reports/$(SCALE) reports/$(SCALE)/picture.png

mlflow: .venv/.study           ## browse the runs on http://127.0.0.1:5000
	PATH="$$PWD/$(BIN):$$PATH" MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --workers 1 --backend-store-uri sqlite:///results/mlflow.db --host 127.0.0.1

slurm: .venv/.slurm .venv/.libero  ## set up `snakemake --profile slurm`; then edit profiles/slurm/site.yaml
	test -e profiles/slurm/site.yaml || cp profiles/slurm/site.example.yaml profiles/slurm/site.yaml
	ln -sfn profiles/slurm slurm
	@echo "Edit profiles/slurm/site.yaml, then: gipo doctor --profile slurm"

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

.venv/.study: .venv/.python envs/metaworld.lock envs/report.lock pyproject.toml
	$(INSTALL) --requirement envs/metaworld.lock --requirement envs/report.lock
	$(INSTALL) --no-deps --editable .
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
