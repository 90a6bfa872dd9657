//! The work for a request: looking it up, and the job that makes the clip and the camera's config.
//!
//! Straight-line code that runs beside the loop. A look-up answers quickly and changes nothing; a
//! job reports as it goes, and its end is its return value. Both ask the world anew, so that a job
//! that begins again after a crash needs nothing but its order.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::clip::{self, Clip, ClipError, Engine, Segment, Trim};
use crate::config_file::{ConfigFile, ReplayCameraError};
use crate::database::{Database, DatabaseError, Export};
use crate::frigate::artifacts;
use crate::frigate::media::MediaMap;
use crate::frigate::{self, ReplayCameraConfig, ReplayConfigError};
use crate::link::{Frigate, Standing};
use crate::session::{
    Cameras, ClipInfo, Found, JobOrder, JobReport, LookUp, LookUpRequest, Session, Source, Stage,
    Stretch,
};
use crate::wire::messages::SettingsSource;
use crate::wire::requests::{Code, Refusal};
use crate::words::{CameraName, ReplayCamera, TimeRange};

/// How many hours of all cameras' recordings must stay free beside the clip: below one, Frigate
/// removes its oldest recordings.
const SPARE_HOURS: f64 = 1.2;

/// How long a start waits for what the running Frigate says.
const FRIGATE_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that a look-up or a job needs of the world.
#[derive(Debug)]
pub struct Workshop {
    /// Frigate's config.yml.
    pub config: ConfigFile,
    /// Frigate's database.
    pub database: Database,
    /// The media folder, here and for Frigate.
    pub media: MediaMap,
    /// Where the clips are put.
    pub replay_dir: PathBuf,
    /// Who joins the recordings.
    pub engine: Engine,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
    /// The running Frigate, if there is a way to it.
    pub frigate: Option<Arc<Frigate>>,
}

/// Why a job ended before its camera was there: `None` if it was cancelled.
type Failure = Option<String>;

// Looking up.
impl Workshop {
    /// The cameras that can be replayed.
    pub async fn cameras(self: Arc<Self>) -> Cameras {
        off_the_loop(move || match self.config.read() {
            Ok(config) => Ok(config.cameras()),
            Err(error) => Err(error.to_string()),
        })
        .await
        .unwrap_or_else(Err)
    }

    /// A round of the watchdog: what is kept open for the next request may be closed.
    pub fn rest(&self) {
        self.database.rest();
    }

    /// Whether the clip of a live session is gone. One that cannot be looked at within `patience`
    /// counts as there.
    pub async fn is_clip_gone(&self, session: Option<&Session>, patience: Duration) -> bool {
        let Some(session) = session.filter(|session| session.stage == Stage::Live) else {
            return false;
        };
        let clip = self.clip_path(&session.replay_camera());
        match timeout(patience, tokio::fs::metadata(clip)).await {
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Finds out whether a start can be obeyed.
    pub async fn look_up(self: Arc<Self>, look_up: LookUp) -> Result<Found, Refusal> {
        let internal = |error| Refusal::new(Code::Internal, error);
        // Which camera's time is asked for.
        let (camera, range) = match &look_up.request {
            LookUpRequest::Recordings(camera, range) => (camera.clone(), *range),
            LookUpRequest::Export(id) => {
                let (workshop, id) = (Arc::clone(&self), id.clone());
                let export = off_the_loop(move || workshop.usable_export(&id));
                let export = export.await.map_err(internal)??;
                (export.camera, export.range)
            }
        };
        let running = self.ask_frigate(&camera).await;
        if let Some(Ok(Standing { own_replay: true, .. })) = &running {
            let message = "a debug replay of Frigate's own is active; end it on its page first";
            return Err(Refusal::new(Code::AlreadyActive, message));
        }
        off_the_loop(move || {
            let resolved = self
                .resolve(&camera, running, look_up.overrides.as_ref())
                .map_err(|error| self.refusal_of(error))?;
            if let LookUpRequest::Recordings(..) = look_up.request
                && !self.database.has_recordings(&camera, range).map_err(database_unavailable)?
            {
                return Err(no_recordings(&camera, range));
            }
            Ok(Found {
                source_camera: camera,
                range,
                settings_source: resolved.source,
                warnings: resolved.warnings,
            })
        })
        .await
        .map_err(internal)?
    }

    /// What the running Frigate knows of a camera; `None` if there is no way to it. One that does
    /// not answer at once must not hold a start back: its config.yml does as well.
    async fn ask_frigate(&self, camera: &CameraName) -> Option<Result<Standing, String>> {
        let frigate = self.frigate.as_ref()?;
        let standing = timeout(FRIGATE_PATIENCE, frigate.standing(camera.as_str())).await;
        Some(match standing {
            Ok(standing) => standing.map_err(|fault| fault.to_string()),
            Err(_) => Err(format!("{} does not answer in time", frigate.address())),
        })
    }

    /// The config of the replay camera: from the running Frigate, which knows what is set at the
    /// moment, else from its config.yml. Blocks.
    fn resolve(
        &self,
        camera: &CameraName,
        running: Option<Result<Standing, String>>,
        overrides: Option<&Map<String, Value>>,
    ) -> Result<Resolved, ReplayCameraError> {
        let clip = self.clip_path_for_frigate(&camera.replay());
        let why_not = match running {
            None => None,
            Some(Ok(Standing { camera: Some(live), .. })) => {
                match frigate::from_live(&live, &clip, overrides) {
                    Ok(config) => {
                        return Ok(Resolved::new(Arc::new(config), SettingsSource::Frigate));
                    }
                    Err(error @ ReplayConfigError::Overrides(_)) => return Err(error.into()),
                    Err(error) => Some(error.to_string()),
                }
            }
            Some(Ok(Standing { camera: None, .. })) => {
                Some("it does not know the camera".to_owned())
            }
            Some(Err(reason)) => Some(reason),
        };
        let config = self.config.replay_camera(camera.as_str(), &clip, overrides)?;
        let mut resolved = Resolved::new(config, SettingsSource::ConfigFile);
        if let Some(why) = why_not {
            resolved.warnings.push(format!(
                "the settings are those of {}, not of the running Frigate: {why}",
                self.config.path().display()
            ));
        }
        Ok(resolved)
    }

    fn usable_export(&self, id: &str) -> Result<UsableExport, Refusal> {
        let Some(export) = self.database.export(id).map_err(database_unavailable)? else {
            let message = format!("export_id: {id:?} is not in Frigate's database");
            return Err(Refusal::new(Code::ExportNotFound, message));
        };
        let unusable = |why: String| {
            Refusal::new(Code::ExportUnusable, format!("export_id: {id:?} cannot be used: {why}"))
        };
        if export.in_progress {
            return Err(unusable("Frigate is still making it".to_owned()));
        }
        let camera = CameraName::parse(&export.camera).map_err(|e| unusable(e.to_string()))?;
        let path = self.export_file(&export).map_err(unusable)?;
        let video = clip::probe(&path).map_err(|error| unusable(error.to_string()))?;
        let range = TimeRange { start: export.date, end: export.date.plus(video.duration_s) };
        Ok(UsableExport { camera, range, path })
    }

    /// The export's file, which must be a plain file below the media folder.
    fn export_file(&self, export: &Export) -> Result<PathBuf, String> {
        let path = self.media.to_here(&export.video_path).map_err(|error| error.to_string())?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(path),
            Ok(_) => Err(format!("{} is no plain file", path.display())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn refusal_of(&self, error: ReplayCameraError) -> Refusal {
        let file = self.config.path().display();
        let error = match error {
            ReplayCameraError::File(error) => {
                return Refusal::new(Code::Unavailable, error.to_string());
            }
            ReplayCameraError::Config(error) => error,
        };
        match error {
            ReplayConfigError::UnknownCamera { .. } => {
                Refusal::new(Code::UnknownCamera, format!("{file}: {error}"))
            }
            ReplayConfigError::Config(_) => {
                Refusal::new(Code::Unavailable, format!("{file}: {error}"))
            }
            ReplayConfigError::Overrides(_) => {
                Refusal::new(Code::InvalidRequest, error.to_string())
            }
        }
    }

    fn clip_path(&self, camera: &ReplayCamera) -> PathBuf {
        self.replay_dir.join(artifacts::clip_file_name(camera))
    }

    /// The settings have seen to it that the replay folder is below the media folder.
    fn clip_path_for_frigate(&self, camera: &ReplayCamera) -> String {
        let here = self.clip_path(camera);
        self.media.to_frigate(&here).unwrap_or(here).display().to_string()
    }
}

// The job.
impl Workshop {
    /// Runs a job until its camera's config is built or it fails. `report` is told how it goes.
    pub async fn run(
        self: Arc<Self>,
        order: JobOrder,
        report: impl Fn(JobReport),
        cancelled: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let mut cancelled = cancelled;
        let replay_camera = order.source_camera.replay();
        let (workshop, for_sources) = (Arc::clone(&self), order.clone());
        let sources = off_the_loop(move || workshop.sources(&for_sources)).await??;
        let clip_order = clip::Order {
            segments: sources.segments,
            trim: sources.trim,
            output: self.clip_path(&replay_camera),
            keep_audio: false,
            engine: self.engine,
            ffmpeg: self.ffmpeg.clone(),
            spare_bytes: sources.spare_bytes,
        };
        let is_cancelled = async move {
            // If nobody can cancel any more, nobody will.
            if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
                std::future::pending().await
            }
        };
        let progress = |percent: f32| report(JobReport::Progress(f64::from(percent)));
        let clip = match clip::make(clip_order, progress, is_cancelled).await {
            Ok(clip) => clip,
            Err(ClipError::Cancelled) => return Err(None),
            Err(error) => return Err(Some(error.to_string())),
        };
        let path = self.clip_path_for_frigate(&replay_camera);
        report(JobReport::ClipMade(clip_info(clip, path, sources.warnings)));
        let running = self.ask_frigate(&order.source_camera).await;
        let built = off_the_loop(move || {
            self.resolve(&order.source_camera, running, order.overrides.as_ref())
                .map_err(|error| self.refusal_of(error).message)
        })
        .await??;
        report(JobReport::CameraBuilt {
            config: Arc::unwrap_or_clone(built.config).camera_config,
            settings_source: built.source,
            warnings: built.warnings,
        });
        Ok(())
    }

    fn sources(&self, order: &JobOrder) -> Result<Sources, String> {
        fs::create_dir_all(&self.replay_dir)
            .map_err(|error| format!("{}: {error}", self.replay_dir.display()))?;
        let mut warnings = Vec::new();
        let (segments, trim) = match &order.source {
            Source::Recordings => {
                let rows = self
                    .database
                    .recordings(&order.source_camera, order.range)
                    .map_err(|error| error.to_string())?;
                let mut segments = Vec::with_capacity(rows.len());
                for row in rows {
                    match self.media.to_here(&row.path) {
                        Ok(path) => segments.push(Segment { path, start: row.start, end: row.end }),
                        Err(error) => warnings.push(error.to_string()),
                    }
                }
                let range = order.range;
                (segments, Trim { start: Some(range.start), end: Some(range.end) })
            }
            Source::Export(id) => {
                let export = self.usable_export(id).map_err(|refusal| refusal.message)?;
                let TimeRange { start, end } = export.range;
                (vec![Segment { path: export.path, start, end }], Trim::default())
            }
        };
        if segments.is_empty() {
            let mut message = no_recordings(&order.source_camera, order.range).message;
            for warning in warnings.iter().take(3) {
                message = format!("{message}; {warning}");
            }
            return Err(message);
        }
        let hour = self.database.bytes_of_last_hour(crate::clock::now()).unwrap_or(0);
        let spare_bytes = (hour as f64 * SPARE_HOURS) as u64;
        Ok(Sources { segments, trim, spare_bytes, warnings })
    }
}

/// A replay camera's config, and where it came from.
struct Resolved {
    config: Arc<ReplayCameraConfig>,
    source: SettingsSource,
    warnings: Vec<String>,
}

impl Resolved {
    fn new(config: Arc<ReplayCameraConfig>, source: SettingsSource) -> Self {
        let warnings = config.warnings.iter().map(ToString::to_string).collect();
        Self { config, source, warnings }
    }
}

struct UsableExport {
    camera: CameraName,
    range: TimeRange,
    path: PathBuf,
}

struct Sources {
    segments: Vec<Segment>,
    trim: Trim,
    spare_bytes: u64,
    warnings: Vec<String>,
}

fn clip_info(clip: Clip, path: String, mut warnings: Vec<String>) -> ClipInfo {
    warnings.extend(clip.warnings);
    let pieces = clip
        .segments
        .iter()
        .map(|piece| (piece.start, piece.offset_s, piece.duration_s))
        .map(|(start, offset_s, duration_s)| Stretch { start, offset_s, duration_s });
    ClipInfo {
        path,
        segments: u32::try_from(clip.segments.len()).unwrap_or(u32::MAX),
        footage_s: clip.duration_s,
        gaps: clip.gaps,
        bytes: clip.bytes,
        stretches: Stretch::joined(pieces),
        warnings,
    }
}

fn no_recordings(camera: &CameraName, range: TimeRange) -> Refusal {
    let message = format!(
        "no recordings of camera {:?} from {} to {} are in Frigate's database",
        camera.as_str(),
        range.start,
        range.end
    );
    Refusal::new(Code::NoRecordings, message)
}

fn database_unavailable(error: DatabaseError) -> Refusal {
    Refusal::new(Code::Unavailable, error.to_string())
}

/// Runs blocking work on a thread of the pool.
async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work).await.map_err(|error| format!("the work ended: {error}"))
}
