//! From the text of config.yml to one replay camera, against parsing the same text with
//! `serde_yaml` alone.

mod ratios;

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;

use frigate_replay::frigate::{Env, FrigateConfig};

const ROUNDS: usize = 200;

fn main() {
    let house = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/frigate-cases/house_8_cameras/config.yml"
    ))
    .expect("the house is one of the cases");
    compare("one camera of a house with 8", &house, "driveway");
    compare("one camera of 100", &many(&house, 100), "camera_57");
}

fn compare(title: &str, text: &str, camera: &str) {
    let env = Env::default();
    let resolve = || {
        FrigateConfig::parse(text)
            .expect("YAML")
            .replay_camera(&env, camera, "/media/frigate/clip.mp4", None)
            .expect("a camera that can be replayed")
    };
    let title = format!("{title} ({} kB of YAML)", text.len() / 1000);
    ratios::compare(
        &title,
        ROUNDS,
        &mut [
            ("serde_yaml alone, merge keys applied", &mut || {
                let mut value: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
                value.apply_merge().expect("merge keys");
                black_box(value);
            }),
            ("parse only", &mut || {
                black_box(FrigateConfig::parse(text).expect("YAML"));
            }),
            ("parse and resolve", &mut || {
                black_box(resolve());
            }),
        ],
    );
}

/// The house's global sections with `count` cameras like its own.
fn many(house: &str, count: usize) -> String {
    let (globals, cameras) = house.split_once("\ncameras:\n").expect("cameras");
    let start = cameras.find("  driveway:\n").expect("the driveway");
    let end = cameras.find("  back_yard:\n").expect("the back yard");
    let driveway = &cameras[start..end];
    let mut text = format!("{globals}\ncameras:\n");
    for number in 0..count {
        let _ = write!(text, "{}", driveway.replace("driveway", &format!("camera_{number}")));
    }
    text
}
