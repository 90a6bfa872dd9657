//! The session: what is decided, purely.
//!
//! **The law.** Everything that can happen is an [`Event`]; [`step`] turns a [`State`] and an event
//! into the next state and a list of [`Effect`]s. Whoever calls it *saves* [`State::record`] if it
//! changed, then *publishes* what [`view`] shows differently, then *acts* on the effects, in this
//! order. What an effect brings about comes back as an event. Nothing else changes the state.
//!
//! ```text
//!             start accepted            clip made             camera added
//!   Idle ───────────────────▶ Preparing ───────▶ StartingCamera ───────▶ Live
//!    ▲                           │ cancel/fail        │ cancel/fail         │ stop, 12 h, clip gone
//!    └───────── swept ◀──────────┴────── Stopping ◀───┴─────────────────────┘
//! ```
//!
//! Retained topics, files, database rows and the running job are projections of the record: they
//! are brought in line with it again and again, so a crash at any point is only one more start.
//!
//! No clock, file, random number or log: times, ids and facts come in with the events.

mod event;
mod form;
mod link;
mod record;
mod state;
mod step;
mod view;

pub use event::{
    Cameras, Effect, Event, Found, JobOrder, JobReport, LookUp, LookUpRequest, Receipt, ReplyTo,
    RequestEvent,
};
pub use form::Form;
pub use link::{CHANGE_GAP_S, Deed, Done, LATEST_ANSWER_S, LinkNow, LinkRecord, Placed, Seen};
pub use record::{History, Record, recover};
pub use state::{
    ClipInfo, DeviceShown, Ending, MAX_ATTEMPTS, MAX_WAITING, Policy, Session, Source, Stage,
    State, Stretch,
};
pub use step::{Step, step};
pub use view::{Retained, view};
