//! The `frigate-replay` binary: hands the command line to [`frigate_replay::cli`].
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    frigate_replay::cli::main()
}
