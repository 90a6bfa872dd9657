//! Clips of real recordings, looked at from outside: ffmpeg decodes every clip and every source, and
//! the frames must be equal bit for bit, in order ([`decoded`]); mp4-atom, which shares nothing with
//! the joiner, reads every index and finds every sample's bytes ([`oracle`]). The recordings are made
//! here, by ffmpeg, as Frigate makes its own ([`footage`]).

mod command;
mod copying;
mod decoded;
mod engines;
mod faults;
mod footage;
mod forged;
mod joins;
mod oracle;
mod order;
mod sharing;
mod sound;
mod trims;
