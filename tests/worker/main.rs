//! End to end: the real binary, a real Mosquitto on a free port, recordings made by ffmpeg, and
//! SQLite in Frigate's schema. Every message of the worker that a test captures is validated against
//! `schemas/`, and every test ends with the same look at the whole world ([`house::House::check`]).

mod brokers;
mod bus;
mod commands;
mod crash;
mod deployment;
mod frigate;
mod home_assistant;
mod house;
mod link;
mod refusals;
mod replay;
mod sweep;
