# What people run. `make test` needs cargo, gcc and apt; it installs the rest.

.PHONY: test tools lint bench demo schemas

# The one test command.
test: tools
	cargo test --locked --all-features

# Mosquitto and ffmpeg, where they are missing. The package's own broker is not started.
tools:
	@sh tests/tools.sh

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings

# Ratios against floors measured in the same run.
bench: tools
	cargo bench --locked

demo:
	cargo run --locked --features demo -- demo

# Writes schemas/ anew from the types.
schemas:
	cargo run --locked -- schema --output schemas
