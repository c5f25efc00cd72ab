# The commands of this repository. `make demo` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run demo test sim chaos rules bench mutants check reference lock clean

setup: .venv/.run          ## make .venv with the command `holdfast` in it

.venv/.run: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.test: .venv/.run requirements/test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

.venv/.bench: .venv/.run requirements/bench.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

.venv/.mutants: .venv/.test requirements/mutants.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	@touch $@

.venv/.local: .venv/.run requirements/local.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/local.txt
	@touch $@

run: $(if $(ON),.venv/.local,setup)  ## serve the shop until Ctrl-C; ON=postgres,nats: on real servers
	$(BIN)/holdfast run shop $(if $(ON),--on $(ON) --data .holdfast/shop-on) $(ARGS)

demo: setup                ## 500 orders, a SIGKILL half way, and the books afterwards
	$(BIN)/holdfast demo shop

test: .venv/.test          ## the tests, but those of minutes: `make sim`, `make chaos`
	$(BIN)/pytest

sim: .venv/.test           ## seeds for 100 s, every crash point, and what is found without each safeguard
	$(BIN)/holdfast sim shop --seeds 1000000 --seconds 100
	$(BIN)/holdfast sim shop --every-crash-point
	$(BIN)/pytest -m sim tests/simulation

.venv/.pgbouncer:          ## where it is not installed, Debian's package beside the others
	command -v pgbouncer >/dev/null || ( mkdir -p .venv/pgbouncer && cd .venv/pgbouncer && \
	  apt-get download --quiet pgbouncer libc-ares2 libevent-2.1-7 && \
	  for package in *.deb; do dpkg -x $$package .; done )
	@touch $@

chaos: .venv/.test .venv/.pgbouncer  ## real engines, killed, stopped and emptied under load
	$(BIN)/pytest -m chaos

.venv/.prometheus:         ## likewise Prometheus and Alertmanager, with promtool and amtool
	( command -v prometheus && command -v promtool && command -v amtool ) >/dev/null || ( \
	  mkdir -p .venv/prometheus && cd .venv/prometheus && \
	  { apt-get download --quiet prometheus prometheus-alertmanager || \
	    { apt-get update --quiet && apt-get download --quiet prometheus prometheus-alertmanager; }; } && \
	  for package in *.deb; do dpkg -x $$package . || exit 1; done && rm *.deb )
	@touch $@

rules: .venv/.test .venv/.prometheus  ## what is rendered, judged by Prometheus and its tools
	$(BIN)/pytest -m rules

check: .venv/.test         ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/pyright

bench: .venv/.bench        ## the figures, each beside its peer
	$(BIN)/python -m benchmarks

mutants: .venv/.mutants    ## do tests notice small changes? ARGS="security --sample 200 --seed 2"
	nice -n 15 $(BIN)/python -m tests.mutants $(ARGS)

reference: .venv/.test     ## docs/reference.md, docs/metrics.md and docs/logs.md, from the code; where the safeguards of docs/protocol.md are
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m tests.docs.metrics
	$(BIN)/python -m tests.docs.logs
	$(BIN)/python -m tests.docs.protocol

lock:                      ## resolve the locked versions again (needs uv)
	for name in run local test bench mutants; do \
	  uv pip compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --allow-unsafe --custom-compile-command "make lock" --output-file requirements/$$name.txt \
	    requirements/$$name.in || exit 1; \
	done

clean:                     ## everything that the commands above made
	rm -rf .venv .holdfast build dist src/*.egg-info
