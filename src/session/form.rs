//! The form: what is chosen for "replay the last minutes", kept for who presses the button.

use serde::{Deserialize, Serialize};

use crate::wire::form::FormChange;
use crate::wire::requests::{Code, Refusal, Request, Span};
use crate::words::CameraName;

use super::state::{Policy, State};
use super::step::Turn;

/// What is chosen. It is kept as it was chosen, also while it cannot be: a camera that comes back is
/// chosen again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// The camera; the first one that can be replayed if nobody chose.
    pub camera: Option<CameraName>,
    /// How many of the last minutes.
    pub minutes: u32,
}

impl Default for Form {
    fn default() -> Self {
        Self { camera: None, minutes: 10 }
    }
}

impl Policy {
    /// The most minutes that can be chosen: what a range may be long, at least one.
    pub fn minutes_max(&self) -> u32 {
        // Casts of a float end at the type's limits.
        ((self.max_range_s / 60.0) as u32).max(1)
    }
}

impl State {
    /// The cameras that can be chosen. While Frigate's config cannot be read, the chosen one.
    pub fn form_cameras(&self) -> &[CameraName] {
        match &self.cameras {
            Ok(cameras) => cameras,
            Err(_) => self.record.form.camera.as_slice(),
        }
    }

    /// The camera that the button replays: the chosen one, or the first if that is not there.
    pub fn form_camera(&self) -> Option<&CameraName> {
        let cameras = self.form_cameras();
        let chosen = self.record.form.camera.as_ref();
        chosen.filter(|chosen| cameras.contains(chosen)).or(cameras.first())
    }

    /// How many minutes the button replays.
    pub fn form_minutes(&self) -> u32 {
        self.record.form.minutes.clamp(1, self.policy.minutes_max())
    }
}

impl Turn {
    /// Takes a choice, or makes the button's press the start that it stands for. Gives what is
    /// still to be obeyed.
    pub(super) fn operate_form(&mut self, change: FormChange) -> Result<Option<Request>, Refusal> {
        match change {
            FormChange::Camera(camera) => {
                self.check_choice(&camera)?;
                self.state.record.form.camera = Some(camera);
                Ok(None)
            }
            FormChange::Minutes(minutes) => {
                let max = self.state.policy.minutes_max();
                if minutes > max {
                    return Err(Refusal::new(
                        Code::InvalidRange,
                        format!("minutes: {minutes} is more than the limit of {max}"),
                    ));
                }
                self.state.record.form.minutes = minutes;
                Ok(None)
            }
            FormChange::Replay => {
                let Some(camera) = self.state.form_camera() else {
                    return Err(self.no_camera());
                };
                let span = Span::Last(f64::from(self.state.form_minutes()) * 60.0);
                Ok(Some(Request::Start { camera: camera.clone(), span, overrides: None }))
            }
        }
    }

    fn check_choice(&self, camera: &CameraName) -> Result<(), Refusal> {
        let cameras = self.state.form_cameras();
        if cameras.contains(camera) {
            return Ok(());
        }
        if cameras.is_empty() || self.state.cameras.is_err() {
            return Err(self.no_camera());
        }
        let names: Vec<&str> = cameras.iter().map(CameraName::as_str).collect();
        Err(Refusal::new(
            Code::UnknownCamera,
            format!(
                "camera: {:?} cannot be replayed; there are {}",
                camera.as_str(),
                names.join(", ")
            ),
        ))
    }

    fn no_camera(&self) -> Refusal {
        let message = match &self.state.cameras {
            Err(error) => error.clone(),
            Ok(_) => "camera: Frigate's config has none that can be replayed".to_owned(),
        };
        Refusal::new(Code::Unavailable, message)
    }
}
