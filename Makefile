# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.
CARGO ?= cargo
REPORT ?= target/drey/report

.PHONY: help run loopback test test-real test-real-flink test-flink-clients test-dashboard test-clients test-more-clients test-clusters web image images fuzz gates gate bench load load-flink bless lint fmt test-playground test-cluster-mode

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: ## run the whole scenario library against the real reconciler, in virtual time; report in target/drey/report
	@$(CARGO) run --locked --bin drey -- run scenarios --report $(REPORT)

loopback: ## the whole library over real HTTP on 127.0.0.1, operator crashes included; part of make test too
	@$(CARGO) run --locked --bin drey -- run scenarios --mode loopback --report $(REPORT)-loopback

test: ## all tests: unit, property, scenario, conformance, documentation examples
	ci/test

test-real: ## fake-kube and a real CRD server answer the same requests; builds the latter, needs Go
	ci/test-real

test-real-flink: ## real JobManagers of 1.20.3 and 2.2.1 answer the recorded cases as fake-flink does; needs Maven and JDK 17
	ci/test-real-flink

test-flink-clients: ## Flink's own command line and Java client of 1.20.3 and 2.2.1 against fake-flink; needs Maven and JDK 17
	ci/test-flink-clients

test-dashboard: ## every page of Flink's web dashboard on fake-flink in a headless Chromium; needs Chromium and Maven
	ci/test-dashboard

test-playground: ## the page of drey play in a headless Chromium, a session saved and replayed; needs Chromium
	ci/test-playground

test-clients: ## operators of controller-runtime and kopf, and Helm, against fake-kube; builds them, needs Go
	ci/test-clients

test-more-clients: ## Helm 4 and an operator of the Java Operator SDK against fake-kube; needs Go, Maven and JDK 17
	ci/test-more-clients

test-cluster-mode: ## scenarios on a cluster by its kubeconfig: cluster, operator and Flink as processes of their own
	ci/test-cluster-mode

test-clusters: ## drey cluster against the real kind, which is built, on a docker daemon of our own; needs Go
	ci/test-clusters

web: ## fetch the packages with Flink's web dashboard, which fake-flink then serves; needs Maven
	@ci/web

image: ## the image of fake-flink, from scratch with a static binary, as OCI layout in target/images and in docker
	ci/images fake-flink

images: ## the images of fake-flink and of the operator
	ci/images

fuzz: ## the fuzz targets over their kept corpus and some thousand inputs made from it, the same ones each time
	ci/fuzz

gates: ## exact cost counts of passes and actions against benches/baseline.json; BLESS=--bless rewrites it
	@$(CARGO) run --quiet --locked --bin gates -- --out target/drey/counts.json $(BLESS)

gate: ## the verdicts of drey gate on the counts of make gates and the report of make run; UPDATE=--update-baseline stores the latter
	@$(CARGO) run --quiet --locked --bin drey -- gate --counts target/drey/counts.json --baseline benches/baseline.json --strict
	@$(CARGO) run --quiet --locked --bin drey -- gate --report $(REPORT) --baseline ci/scenarios.json --markdown target/drey/gate.md $(UPDATE)

bench: ## criterion benchmarks and the figures of docs/benchmarks.md
	$(CARGO) bench --locked -p drey-benches
	$(CARGO) run --release --locked -p drey-benches --no-default-features --bin figures

load: ## fake-kube and, where make test-real has built one, a real CRD server under load, side by side
	$(CARGO) build --release --locked -p fake-kube
	$(CARGO) run --release --locked -p drey-benches --no-default-features --bin load

load-flink: ## fake-flink and a real JobManager, side by side; needs Maven and JDK 17 for the real one
	$(CARGO) build --release --locked -p fake-flink
	ci/load-flink

bless: ## rewrite the golden transcripts; read the diff before you commit it
	@$(CARGO) run --quiet --locked --bin drey -- run scenarios --bless --report $(REPORT)

lint: ## format check and clippy, warnings denied
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format
	$(CARGO) fmt --all
