//! `start`, `stop` and `status`: a client of a running worker.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::client::{Client, Shown};
use crate::wire::messages::{
    JobResults, JobStateMessage, JobStatus, Phase, Response, ResponseStatus, SessionMessage,
};
use crate::wire::requests::Verb;

use super::settings_args::SettingsArgs;
use super::{EXIT_USAGE, Failure, block_on, say};

/// What to replay.
#[derive(Args)]
pub struct StartArgs {
    /// The camera whose recordings are replayed.
    #[arg(long, required_unless_present = "export", conflicts_with = "export")]
    camera: Option<String>,
    /// The last so much time, such as 10m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration,
          conflicts_with_all = ["start", "end", "export"])]
    last: Option<Duration>,
    /// Where the range begins: unix seconds, or RFC 3339 with an offset.
    #[arg(long, value_name = "TIME", requires = "end", conflicts_with = "export")]
    start: Option<String>,
    /// Where the range ends.
    #[arg(long, value_name = "TIME", requires = "start", conflicts_with = "export")]
    end: Option<String>,
    /// Replay this export of Frigate's instead.
    #[arg(long, value_name = "ID")]
    export: Option<String>,
    /// Settings instead of the camera's own, such as '{"detect": {"fps": 10}}'.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    overrides: Option<Value>,
    /// Do not wait until the replay is live.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What to stop.
#[derive(Args)]
pub struct StopArgs {
    /// Stop only the session of this job.
    #[arg(long, value_name = "ID")]
    job_id: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// How to show the state.
#[derive(Args)]
pub struct StatusArgs {
    /// Go on showing what changes.
    #[arg(long)]
    watch: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

fn json_object(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err("must be a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Sends a start, and shows the replay until it is live.
pub fn start(args: StartArgs) -> Result<(), Failure> {
    let (verb, request) = start_request(&args)?;
    let settings = args.settings.settle()?;
    block_on(async {
        let mut client =
            Client::connect(&settings.bus, &settings.topics).await.map_err(Failure::new)?;
        let response = client.ask(verb, request).await.map_err(Failure::new)?;
        show_response(&response, args.json)?;
        let ended = match &response.data {
            Some(data) if !args.no_wait => {
                let job_id = data.job_id.to_string();
                watch_job(&mut client, &job_id, args.json).await
            }
            _ => Ok(()),
        };
        client.close().await;
        ended
    })?
}

fn start_request(args: &StartArgs) -> Result<(Verb, Value), Failure> {
    let mut request = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        request.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("overrides", args.overrides.clone());
    if let Some(export) = &args.export {
        put("export_id", Some(json!(export)));
        return Ok((Verb::StartFromExport, Value::Object(request)));
    }
    put("camera", args.camera.clone().map(Value::from));
    put("last_seconds", args.last.map(|last| json!(last.as_secs_f64())));
    put("start_time", args.start.clone().map(Value::from));
    put("end_time", args.end.clone().map(Value::from));
    if args.last.is_none() && args.start.is_none() {
        let message = "say what to replay: --last TIME, or --start TIME --end TIME".to_owned();
        return Err(Failure { message, code: EXIT_USAGE });
    }
    Ok((Verb::Start, Value::Object(request)))
}

/// Sends a stop and waits until it is done.
pub fn stop(args: StopArgs) -> Result<(), Failure> {
    let settings = args.settings.settle()?;
    let request = match &args.job_id {
        Some(id) => json!({ "job_id": id }),
        None => json!({}),
    };
    block_on(async {
        let mut client =
            Client::connect(&settings.bus, &settings.topics).await.map_err(Failure::new)?;
        let response = client.ask(Verb::Stop, request).await.map_err(Failure::new)?;
        client.close().await;
        show_response(&response, args.json)
    })?
}

/// Shows the state once, or for as long as it is watched.
pub fn status(args: StatusArgs) -> Result<(), Failure> {
    let settings = args.settings.settle()?;
    block_on(async {
        let mut client =
            Client::connect(&settings.bus, &settings.topics).await.map_err(Failure::new)?;
        for shown in client.snapshot().await.map_err(Failure::new)? {
            show(&shown, args.json)?;
        }
        if !args.watch {
            client.close().await;
            return Ok(());
        }
        loop {
            if let Some(shown) = client.next(None).await.map_err(Failure::new)? {
                show(&shown, args.json)?;
            }
        }
    })?
}

fn show_response(response: &Response, as_json: bool) -> Result<(), Failure> {
    if as_json {
        tell!("{}", json!({ "response": response }));
    }
    match (response.status, &response.data, &response.error) {
        (ResponseStatus::Ok, Some(data), _) => {
            if !as_json {
                tell!("ok: {} (job {})", data.replay_camera, data.job_id);
            }
            for warning in &data.warnings {
                complain!("warning: {warning}");
            }
            Ok(())
        }
        (_, _, Some(_)) if as_json => Err(Failure::silent()),
        (_, _, Some(error)) => Err(Failure::new(&error.message)),
        _ => Ok(()),
    }
}

/// Shows the job's progress until it ends: a bar on a terminal, lines elsewhere.
async fn watch_job(client: &mut Client, job_id: &str, as_json: bool) -> Result<(), Failure> {
    client.watch().await.map_err(Failure::new)?;
    let bar = ProgressBar::new(100);
    if as_json || !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{msg:18} {bar:40} {pos:>3} %") {
        bar.set_style(style);
    }
    loop {
        let Some(shown) = client.next(None).await.map_err(Failure::new)? else { continue };
        if as_json {
            show(&shown, true)?;
        }
        let Shown::Job(message) = shown else { continue };
        let Some(job) = message.debug_replay else { continue };
        if job.id != job_id && job.id != "stopped" {
            continue;
        }
        if let JobResults::Job(progress) = &job.results {
            bar.set_position(progress.progress_percent as u64);
            bar.set_message(progress.current_step.map_or("", |step| match step {
                crate::wire::messages::JobStep::PreparingClip => "making the clip",
                crate::wire::messages::JobStep::StartingCamera => "starting camera",
            }));
        }
        let end = match job.status {
            JobStatus::Queued | JobStatus::Running => continue,
            JobStatus::Success => Ok(()),
            JobStatus::Cancelled => Err(Failure::new("the replay was stopped")),
            JobStatus::Failed => {
                Err(Failure::new(job.error_message.unwrap_or_else(|| "the job failed".to_owned())))
            }
        };
        bar.finish_and_clear();
        if end.is_ok() && !as_json {
            tell!("live");
        }
        return end;
    }
}

fn show(shown: &Shown, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return say(match shown {
            Shown::Available(online) => json!({ "available": online }),
            Shown::Session(session) => json!({ "session": session }),
            Shown::Job(job) => json!({ "job_state": job }),
            Shown::Info(info) => json!({ "info": info }),
        });
    }
    say(match shown {
        Shown::Available(true) => "worker   online".to_owned(),
        Shown::Available(false) => "worker   offline".to_owned(),
        Shown::Session(session) => format!("session  {}", session_line(session)),
        Shown::Job(job) => format!("job      {}", job_line(job)),
        Shown::Info(info) => format!("cameras  {}", cameras_line(info)),
    })
}

fn session_line(session: &SessionMessage) -> String {
    let (Some(camera), Some(phase)) = (&session.replay_camera, session.phase) else {
        return "none".to_owned();
    };
    let phase = match phase {
        Phase::Preparing => "preparing",
        Phase::StartingCamera => "starting the camera",
        Phase::Live => "live",
        Phase::Stopping => "stopping",
    };
    let footage = session
        .footage_seconds
        .map(|seconds| format!(", {seconds:.1} s of footage"))
        .unwrap_or_default();
    let until = session
        .auto_stop_at
        .and_then(|at| jiff::Timestamp::from_second(at.seconds() as i64).ok())
        .map(|at| format!(", stops by itself at {at}"))
        .unwrap_or_default();
    format!("{camera}: {phase}{footage}{until}")
}

fn job_line(job: &JobStateMessage) -> String {
    let Some(job) = &job.debug_replay else {
        return "none yet".to_owned();
    };
    let status = match job.status {
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Success => "success",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "cancelled",
    };
    let progress = match &job.results {
        JobResults::Job(progress) if job.end_time.is_none() => {
            format!(", {:.0} %", progress.progress_percent)
        }
        _ => String::new(),
    };
    let error = job.error_message.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{}: {status}{progress}{error}", job.id)
}

fn cameras_line(info: &Value) -> String {
    if let Some(error) = info.get("config_error").and_then(Value::as_str) {
        return format!("not known: {error}");
    }
    let cameras = info.get("cameras").and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<&str> = cameras.iter().filter_map(Value::as_str).collect();
    names.join(", ")
}
