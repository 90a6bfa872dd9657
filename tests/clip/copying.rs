//! The clip's file: made beside the clip that is there, whole or not at all.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use frigate_replay::clip::{self, ClipError, Engine, part_path};
use tokio::sync::oneshot;

use super::decoded::shown;
use super::footage::{Camera, Footage};
use super::order::{assert_right, make, order};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn two() -> (Footage, Vec<PathBuf>) {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    (footage, files)
}

#[test]
fn a_stale_clip_and_a_left_part_are_replaced() {
    let (_footage, files) = two();
    let order = order(&files);
    fs::write(&order.output, "old").unwrap();
    fs::write(part_path(&order.output), "interrupted").unwrap();
    // A reader of the old clip keeps it.
    let reader = fs::File::open(&order.output).unwrap();
    let clip = make(&order).unwrap();
    assert_right(&clip, &files);
    assert_eq!(reader.metadata().unwrap().len(), 3);
    assert_eq!(fs::metadata(&order.output).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn on_an_error_the_clip_that_was_there_stays() {
    let (_footage, files) = two();
    let mut order = order(&files);
    fs::write(&order.output, "old").unwrap();
    order.spare_bytes = u64::MAX;
    let error =
        runtime().block_on(clip::make(order.clone(), |_| {}, std::future::pending())).unwrap_err();
    assert!(matches!(error, ClipError::NoSpace { .. }), "{error}");
    assert_eq!(fs::read(&order.output).unwrap(), b"old");
    assert!(!part_path(&order.output).exists());
}

/// The margin for Frigate's own recordings is kept to the byte, by either engine.
#[test]
fn the_margin_is_kept() {
    let (footage, files) = two();
    for engine in [Engine::Native, Engine::Ffmpeg] {
        let mut order = order(&files);
        order.engine = engine;
        let disk = rustix::fs::statvfs(footage.path("")).unwrap();
        // Others write to this disk as well; it will not be twice as large, nor empty.
        order.spare_bytes = disk.f_bavail * disk.f_frsize * 2;
        let error = make(&order).unwrap_err();
        let ClipError::NoSpace { needed, spare, folder, .. } = &error else { panic!("{error}") };
        assert!(*needed > 20_000 && *spare == order.spare_bytes, "{error}");
        assert_eq!(*folder, order.output.parent().unwrap());
        order.spare_bytes = disk.f_bavail * disk.f_frsize / 2;
        make(&order).unwrap();
        fs::remove_file(&order.output).unwrap();
    }
}

#[test]
fn progress_rises_to_a_hundred() {
    let (_footage, files) = two();
    let order = order(&vec![files[0].clone(); 500]);
    let heard = RefCell::new(vec![0.0]);
    let progress = |percent| heard.borrow_mut().push(percent);
    runtime().block_on(clip::make(order, progress, std::future::pending())).unwrap();
    let heard = heard.into_inner();
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), Some(&100.0));
}

#[test]
fn cancelled_before_it_begins_or_amidst_it_leaves_nothing() {
    let (_footage, files) = two();
    let order = order(&vec![files[0].clone(); 2000]);
    let made = runtime().block_on(clip::make(order.clone(), |_| {}, async {}));
    assert!(matches!(made, Err(ClipError::Cancelled)), "{made:?}");

    let (cancel, cancelled) = oneshot::channel::<()>();
    let cancel = RefCell::new(Some(cancel));
    let progress = |_| drop(cancel.borrow_mut().take());
    let wish = async { drop(cancelled.await) };
    let made = runtime().block_on(clip::make(order.clone(), progress, wish));
    // It may have been done already when it was cancelled; then it is whole.
    match made {
        Ok(clip) => assert_eq!(clip.frames, 40_000),
        Err(error) => {
            assert!(matches!(error, ClipError::Cancelled), "{error}");
            assert!(!order.output.exists());
        }
    }
    assert!(!part_path(&order.output).exists());
}

/// What is not waited for any more stops by itself and leaves nothing.
#[test]
fn dropped_amidst_it_leaves_nothing() {
    let (footage, files) = two();
    let order = order(&vec![files[0].clone(); 2000]);
    let runtime = runtime();
    runtime.block_on(async {
        let making = clip::make(order.clone(), |_| {}, std::future::pending());
        let mut making = Box::pin(making);
        let waker = std::task::Waker::noop();
        let begun = making.as_mut().poll(&mut std::task::Context::from_waker(waker));
        assert!(begun.is_pending());
    });
    let folder = footage.path("");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while part_path(&order.output).exists() {
        assert!(std::time::Instant::now() < deadline, "a part stays in {}", folder.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_recording_is_never_replaced_by_a_clip_of_itself() {
    let (footage, files) = two();
    let before = fs::read(&files[0]).unwrap();
    let link = footage.path("link.mp4");
    fs::hard_link(&files[0], &link).unwrap();
    for (engine, output) in
        [(Engine::Native, &files[0]), (Engine::Native, &link), (Engine::Ffmpeg, &files[0])]
    {
        let mut order = order(&files);
        order.output.clone_from(output);
        order.engine = engine;
        let made = runtime().block_on(clip::make(order, |_| {}, std::future::pending()));
        assert!(matches!(made, Err(ClipError::OutputIsInput { .. })), "{engine:?}: {made:?}");
        assert_eq!(fs::read(&files[0]).unwrap(), before);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (footage, files) = two();
    let mut order = order(&files);
    order.output = footage.path("none/clip.mp4");
    let error = make(&order).unwrap_err();
    assert!(error.to_string().contains("none/.clip.mp4.part"), "{error}");
}

/// From a file system to another, the kernel may refuse to copy; the clip is the same.
#[test]
fn across_file_systems() {
    let shm = PathBuf::from("/dev/shm");
    let (footage, files) = two();
    let elsewhere = tempfile::TempDir::new_in(&shm).expect("/dev/shm is there, as on any Linux");
    let device = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(elsewhere.path()), device(&footage.path("")));
    let mut order = order(&files);
    order.output = elsewhere.path().join("clip.mp4");
    assert_right(&make(&order).unwrap(), &files);
    // And back, mixed with files that are on this side.
    let moved = elsewhere.path().join("moved.mp4");
    fs::copy(&files[1], &moved).unwrap();
    let files = [files[0].clone(), moved, files[1].clone()];
    assert_right(&make(&super::order::order(&files)).unwrap(), &files);
    assert_eq!(shown(&order.output).len(), 40);
}
