//! The faults, tried: each is made to happen on purpose, and each time the whole world must agree
//! again at the next calm moment (`../worker/world.rs`).
//!
//! `make faults` runs this for `FAULTS_MINUTES` (10 unless it is told otherwise); as part of
//! `make test` it runs in a short form. What is found is printed with a seed:
//! `FAULTS_ONLY=<fault> FAULTS_SEED=<seed> make faults` tries exactly that again.

#[path = "../worker/bus.rs"]
#[allow(dead_code)] // The worker's tests use the rest of it.
mod bus;
#[path = "../worker/frigate/mod.rs"]
#[allow(unused_imports)] // Its own tests are run with the worker's.
mod frigate;
#[path = "../worker/house.rs"]
#[allow(dead_code)] // The worker's tests use the rest of it.
mod house;
#[path = "../worker/world.rs"]
#[allow(dead_code)] // The worker's tests use the rest of it.
mod world;

mod brokers;
mod children;
mod clock;
mod database;
mod disk;
mod input;
mod kill;
mod link;
mod load;
mod media;
mod proxy;
mod requester;
mod table;
mod trial;

use std::process::{Command, ExitCode};

use trial::{Fault, Plan};

/// Every fault, in the order in which they are tried first.
fn faults() -> Vec<Fault> {
    [
        kill::faults(),
        link::faults(),
        brokers::faults(),
        disk::faults(),
        database::faults(),
        media::faults(),
        clock::faults(),
        children::faults(),
        input::faults(),
        load::faults(),
    ]
    .concat()
}

fn main() -> ExitCode {
    // `cargo test NAME` hands its filter to every test program.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("faults: test");
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"faults".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    if let Some(code) = disk::in_a_mount_namespace_of_our_own() {
        return code;
    }
    if Command::new("mosquitto").arg("-h").output().is_err() {
        eprintln!("mosquitto is not there; `make tools` installs it");
        return ExitCode::FAILURE;
    }
    let plan = Plan::from_environment();
    let tried = trial::try_all(&faults(), &plan);
    table::print(&tried, &plan);
    if tried.iter().all(|row| row.violations.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
