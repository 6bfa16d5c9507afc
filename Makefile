# run test lint bench load denoise loss fuzz docker: see `make help`.
# One cargo profile (dev) serves lint, test and run, so nothing is built twice.

CARGO ?= cargo
SECONDS_PER_TARGET ?= 60
IMAGE ?= hookflash
BENCH = $(CARGO) run --quiet --release

# Languages of Asterisk's prompts, which noise removal is measured on.
PROMPTS := en es fr it ru

# What the tests need beside a Rust toolchain, by Debian name; the build needs the first two only.
PACKAGES := build-essential cmake sip-tester baresip-core linphone-cli sox espeak-ng nodejs chromium openssl procps faketime iproute2

.PHONY: help deps compiler run test lint bench load denoise loss fuzz docker
.DEFAULT_GOAL := help

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

deps: ## Install the Debian packages that are missing (nothing when all are there)
	@missing=$$(for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if ! command -v apt-get >/dev/null; then echo "please install:" $$missing; exit 1; fi; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  echo "installing:" $$missing; \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	fi

compiler:
	@command -v cc >/dev/null && command -v cmake >/dev/null || \
	  $(MAKE) --no-print-directory deps PACKAGES="build-essential cmake"

run: compiler ## Start the server with the built-in demo on 127.0.0.1
	$(CARGO) run --quiet -p server --bin hookflash -- serve

test: deps ## Every test: units, properties, simulation, corpus replay, real clients
	@if command -v cargo-nextest >/dev/null; then \
	  set -x; $(CARGO) nextest run --workspace --no-fail-fast --status-level fail --final-status-level fail; \
	else \
	  set -x; $(CARGO) test --workspace --quiet --no-fail-fast; \
	fi

lint: compiler ## Format, clippy, and licences where cargo-deny is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --log-level error check; fi

bench: compiler ## Measure everything; prints the tables of tests/load/README.md
	$(CARGO) build --quiet --release -p server -p load
	$(CARGO) build --quiet --release -p media-net --examples
	$(BENCH) -p load --bin load -- bench
	$(BENCH) -p load --bin rtp-load
	for mode in record transcode transcode-pcma transcode-opus denoise srtp srtp-one; do $(BENCH) -p load --bin rtp-load -- --mode $$mode --calls 100 || exit 1; done
	$(BENCH) -p load --bin mix-load
	$(BENCH) -p load --bin mix-load -- --talkers 8
	for pair in pcmu+pcma pcmu+g722 pcmu+opus; do \
	  $(BENCH) -p load --bin mix-load -- --parties 2 --talkers 2 --conferences 20 --codec $$pair || exit 1; done
	$(BENCH) -p load --bin mix-load -- --conferences 14 --codec opus --talkers 8 --seconds 60
	$(BENCH) -p media --example denoise_cost
	$(BENCH) -p media --example webrtc_cost

load: compiler ## A short run of calls
	$(CARGO) build --quiet --release -p server -p load
	$(CARGO) run --quiet --release -p load --bin load -- run

denoise: compiler ## What noise removal does to speech: makes a corpus, prints the tables of tests/load/README.md
	@$(MAKE) --no-print-directory deps PACKAGES="espeak-ng sox $(PROMPTS:%=asterisk-core-sounds-%-wav) $(PROMPTS:%=asterisk-core-sounds-%-g722)"
	$(BENCH) -p load --bin denoise-table -- 8000
	$(BENCH) -p load --bin denoise-table -- 16000

loss: compiler ## What lost packets do to speech: ours beside G.711 Appendix I; PESQ with PYTHON=… that has the package
	@$(MAKE) --no-print-directory deps PACKAGES="espeak-ng sox $(PROMPTS:%=asterisk-core-sounds-%-wav) $(PROMPTS:%=asterisk-core-sounds-%-g722)"
	$(CARGO) run --quiet --release -p load --bin loss-table -- $(if $(PYTHON),--pesq $(PYTHON))

fuzz: compiler ## Fuzz every target for SECONDS_PER_TARGET seconds, with assertions on
	CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
	  $(CARGO) run --quiet --release --target-dir target/fuzz -p fuzz -- --seconds $(SECONDS_PER_TARGET)

docker: ## Build the image, then run server, SIPp customer and SIPp agent against each other
	docker build -t $(IMAGE) -f docker/Dockerfile .
	docker compose -f docker/compose.yaml up --build --abort-on-container-exit \
	  --exit-code-from customer; status=$$?; \
	  docker compose -f docker/compose.yaml down --volumes; exit $$status
