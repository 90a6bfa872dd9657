//! End to end: the real binary, a real Mosquitto on a free port, recordings made by ffmpeg, and
//! SQLite in Frigate's schema. Every message of the worker that a test captures is validated against
//! `schemas/`, and every test ends with the same look at the whole world ([`house::House::end`]).

mod brokers;
mod browser;
#[allow(dead_code)] // The faults and the benchmark use the rest of it.
mod bus;
mod commands;
mod crash;
mod dashboard;
mod deployment;
mod frigate;
mod home_assistant;
mod house;
mod link;
mod refusals;
mod replay;
mod sweep;
#[allow(dead_code)] // The faults and the benchmark use the rest of it.
mod world;
