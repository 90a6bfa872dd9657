//! `purge`: removes every trace of the worker, for who does not want it any more.

use std::fs;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::Client;
use crate::link::Frigate;
use crate::session::{CHANGE_GAP_S, Deed, Done};
use crate::settings::Settings;
use crate::store::Store;
use crate::sweep::{Order, Yard};
use crate::wire::messages::FrigateWay;
use crate::wire::topics::is_discovery;
use crate::words::ReplayCamera;

use super::settings_args::SettingsArgs;
use super::{Failure, block_on, run};

/// Removes the retained topics, the replay cameras in the running Frigate, their files and rows, the clips' folder and the data.
/// The worker must not run: its store is locked then.
pub fn purge(args: SettingsArgs) -> Result<(), Failure> {
    let settings = args.settle()?;
    let path = settings.data_dir.join("session");
    let store = Store::open(&path)
        .map_err(|error| Failure::new(format!("{error}; stop the worker first")))?;
    let topics_left = block_on(clear_topics(&settings, &store))??;
    drop(store);
    let cameras_left = match run::frigate(settings.frigate.clone())? {
        Some(frigate) => block_on(take_out_cameras(&frigate))?,
        None => 0,
    };
    let replay_dir = settings.replay_dir.clone();
    let data_dir = settings.data_dir.clone();
    let troubles = sweep_media(&run::plan(settings)?.yard);
    for folder in [&path, &replay_dir] {
        match fs::remove_dir_all(folder) {
            Ok(()) => tell!("removed {}", folder.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new(format!("{}: {error}", folder.display()))),
        }
    }
    // A socket that a killed worker left.
    let _ = fs::remove_file(crate::health::socket_path(&data_dir));
    if topics_left + cameras_left + troubles > 0 {
        return Err(Failure::new("not everything could be removed; run purge again"));
    }
    tell!("nothing is left");
    Ok(())
}

/// Clears what the store remembers to have published and what the broker retains below our base.
/// Gives how many topics could not be cleared.
async fn clear_topics(settings: &Settings, store: &Store) -> Result<usize, Failure> {
    let mut client =
        Client::connect(&settings.bus, &settings.topics).await.map_err(Failure::new)?;
    let below = format!("{}/#", settings.topics.base());
    let mut topics = store.topics().map_err(Failure::new)?;
    topics.extend(settings.topics.discovery());
    topics.extend(client.retained(&below).await.map_err(Failure::new)?);
    let (devices, others): (Vec<String>, Vec<String>) =
        topics.into_iter().partition(|topic| is_discovery(topic));
    let topics: Vec<String> = devices.into_iter().chain(others).collect();
    let refused = client.clear(&topics).await.map_err(Failure::new)?;
    client.close().await;
    for topic in topics.iter().filter(|topic| !refused.iter().any(|(of, _)| of == *topic)) {
        tell!("cleared {topic}");
    }
    for (topic, reason) in &refused {
        complain!("the broker did not clear {topic}: {reason}");
    }
    Ok(refused.len())
}

/// Takes the replay cameras out of the running Frigate, with the time between two changes that it
/// needs. Gives how many may be left.
async fn take_out_cameras(frigate: &Frigate) -> usize {
    let seen = match frigate.look().await {
        Ok(seen) => seen,
        Err(fault) => {
            complain!("Frigate's replay cameras: {fault}");
            return 1;
        }
    };
    if seen.own_replay && !seen.replay_cameras.is_empty() {
        complain!("a debug replay of Frigate's own is active; end it on its page first");
        return seen.replay_cameras.len();
    }
    let mut left = 0;
    for camera in &seen.replay_cameras {
        let deeds = match seen.way {
            FrigateWay::SwitchOffAndDelete => {
                vec![Deed::SwitchOff(camera.clone()), Deed::Delete(camera.clone())]
            }
            _ => vec![Deed::Remove(camera.clone())],
        };
        let mut failed = None;
        for deed in deeds {
            // The worker, or another, may have changed something a moment ago.
            sleep(Duration::from_secs_f64(CHANGE_GAP_S)).await;
            match frigate.perform(&deed).await {
                Done::Changed => {}
                other => failed = failed.or(Some(other)),
            }
        }
        match failed {
            None => tell!("took {camera} out of Frigate"),
            Some(done) => {
                left += 1;
                complain!("{camera} is still in Frigate: {done:?}");
            }
        }
    }
    left
}

fn sweep_media(yard: &Yard) -> usize {
    let swept = yard.sweep(&Order::default(), || true);
    for camera in swept.cameras.iter().map(ReplayCamera::as_str) {
        tell!("removed what {camera} left");
    }
    for trouble in &swept.troubles {
        complain!("{trouble}");
    }
    swept.troubles.len()
}
