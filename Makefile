# Wraps three things and nothing else: a virtual environment from pinned locks, snakemake, pytest.
PYTHON ?= python3
SCALE ?= laptop
BIN := .venv/bin

.PHONY: reproduce test check publish mlflow slurm lock clean

reproduce: .venv/.study $(if $(filter libero%,$(SCALE)),.venv/.libero)  ## run a scale to its report: make reproduce [SCALE=smoke]
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all --config scale=$(SCALE)
	@echo "Report: results/$(SCALE)/report.html"

test: .venv/.test              ## style, types, layers and tests: make test [SLOW=1]
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) --no-print-directory check
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(SLOW),-m "")

check: .venv/.test             ## style, types and layers only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports

publish:                       ## copy a finished scale into reports/, from which every figure can be drawn again
	mkdir -p reports/$(SCALE)/figures
	cp -r results/$(SCALE)/report.html results/$(SCALE)/*.csv results/$(SCALE)/tables results/$(SCALE)/gridworld $(wildcard results/$(SCALE)/sweeps) reports/$(SCALE)
	cp results/$(SCALE)/figures/*.csv results/$(SCALE)/figures/scorecard.png reports/$(SCALE)/figures
	$(BIN)/gipo picture reports/$(SCALE) reports/$(SCALE)/picture.png

mlflow: .venv/.study           ## browse the runs on http://127.0.0.1:5000
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --workers 1 --backend-store-uri sqlite:///results/mlflow.db --host 127.0.0.1

slurm: .venv/.slurm            ## set up `snakemake --profile slurm`; then edit profiles/slurm/site.yaml
	test -e profiles/slurm/site.yaml || cp profiles/slurm/site.example.yaml profiles/slurm/site.yaml
	ln -sfn profiles/slurm slurm
	@echo "Edit profiles/slurm/site.yaml, then: gipo doctor --profile slurm"

lock: .venv/.test              ## resolve pyproject.toml anew into envs/*.lock
	$(BIN)/python envs/lock.py

clean:                         ## remove the environment; results stay
	rm -rf .venv

.venv/.python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.study: .venv/.python envs/metaworld.lock envs/report.lock pyproject.toml
	$(BIN)/pip install --requirement envs/metaworld.lock --requirement envs/report.lock
	$(BIN)/pip install --no-deps --editable .
	touch $@

.venv/.libero: .venv/.study envs/libero.lock
	$(BIN)/pip install --no-deps --requirement envs/libero.lock
	touch $@

.venv/.slurm: .venv/.study envs/slurm.lock
	$(BIN)/pip install --no-deps --requirement envs/slurm.lock
	touch $@

.venv/.test: .venv/.libero .venv/.slurm envs/dev.lock
	$(BIN)/pip install --no-deps --requirement envs/dev.lock
	touch $@
