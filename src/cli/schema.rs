//! `schema`: the JSON Schemas of all messages, and the AsyncAPI document that joins them.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use crate::frigate::{Env, FrigateConfig, camera_config_schema};
use crate::wire::asyncapi;
use crate::wire::schemas::{self, CameraConfigSchema, MessageSchema};

use super::{Failure, say};

/// What to print, and where to.
#[derive(Args)]
pub struct SchemaArgs {
    /// Only this message's schema, such as `session`; `asyncapi` is the whole contract.
    name: Option<String>,
    /// Write each schema, and asyncapi.yaml, to a file in this folder instead.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints or writes the schemas.
pub fn schema(args: SchemaArgs) -> Result<(), Failure> {
    if args.name.as_deref() == Some("asyncapi") && args.output.is_none() {
        return say(format_args!("{}", asyncapi().trim_end()));
    }
    let mut all = all();
    if let Some(name) = &args.name {
        let names: Vec<&str> = all.iter().map(|schema| schema.name).collect();
        let names = names.join(", ");
        all.retain(|schema| schema.name == name);
        if all.is_empty() {
            return Err(Failure::new(format!(
                "there is no message {name:?}; there are {names}, asyncapi"
            )));
        }
    }
    if let Some(folder) = args.output {
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
        };
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        if args.name.is_none() {
            write(folder.join("asyncapi.yaml"), asyncapi())?;
        }
        return all.iter().try_for_each(|schema| {
            write(folder.join(format!("{}.json", schema.name)), pretty(&schema.schema))
        });
    }
    let shown = match (&args.name, all.pop()) {
        (Some(_), Some(one)) => one.schema,
        (_, last) => {
            let all = all.into_iter().chain(last);
            Value::Object(all.map(|one| (one.name.to_owned(), one.schema)).collect::<Map<_, _>>())
        }
    };
    say(format_args!("{shown:#}"))
}

/// Every message's schema, with the replay camera's config in its place.
pub fn all() -> Vec<MessageSchema> {
    let config = "cameras: {front: {detect: {enabled: true, width: 1280, height: 720, fps: 5}, \
                  ffmpeg: {inputs: [{path: rtsp://camera.example/front}]}}}";
    let clip = "/media/frigate/frigate-replay/_replay_front.mp4";
    let example = FrigateConfig::parse(config)
        .ok()
        .and_then(|config| config.replay_camera(&Env::default(), "front", clip, None).ok())
        .map_or(Value::Null, |resolved| resolved.camera_config);
    schemas::all(&CameraConfigSchema { schema: camera_config_schema(), example })
}

/// The whole contract, as `schemas/asyncapi.yaml` holds it.
pub fn asyncapi() -> String {
    let document = asyncapi::document(&all());
    // A document of texts, numbers and lists can always be written.
    let yaml = serde_yaml::to_string(&document).unwrap_or_default();
    format!("# Written by `make schemas` from the table of src/wire/contract.rs.\n{yaml}")
}

/// As `schemas/` holds it.
fn pretty(schema: &Value) -> String {
    format!("{schema:#}\n")
}
