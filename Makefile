# What people run. `make test` needs cargo, gcc and apt; it installs the rest.

.PHONY: test test-asyncapi test-home-assistant tools lint bench faults demo schemas

# The one test command.
test: tools
	cargo test --locked --all-features

# The device, the blueprints, the scripts and the dashboard in a real Home Assistant, which is installed
# the first time (about two minutes). Needs root, for a Debian of its own in a folder.
HOME_ASSISTANT ?= $(HOME)/.cache/frigate-replay/home-assistant
test-home-assistant: tools
	cargo build --locked
	sh tests/home-assistant/install.sh $(HOME_ASSISTANT)
	python3 tests/home-assistant/test.py --installed $(HOME_ASSISTANT) \
		--binary "$${CARGO_TARGET_DIR:-target}/debug/frigate-replay" $(ARGS)

# Mosquitto, ffmpeg and Chromium, where they are missing. The package's own broker is not started.
tools:
	@sh tests/tools.sh

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings

# Ratios against floors measured in the same run.
bench: tools
	cargo bench --locked

# The faults, tried for FAULTS_MINUTES; FAULTS_ONLY and FAULTS_SEED repeat what was found.
faults: tools
	FAULTS_MINUTES=$${FAULTS_MINUTES:-10} cargo test --locked --all-features --test faults

demo:
	cargo run --locked --features demo -- demo

# The contract by AsyncAPI's own parser, for those who have node and npm. The tests hold it to AsyncAPI's schema without.
test-asyncapi:
	npm exec --yes --package=@asyncapi/parser@3.6.6 -- node tests/asyncapi/validate.cjs schemas/asyncapi.yaml

# Writes schemas/ anew from the types and the table of topics.
schemas:
	cargo run --locked -- schema --output schemas
