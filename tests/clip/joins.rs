//! Good recordings of every kind: all of them, joined, are shown as each of them alone.

use std::path::PathBuf;

use super::footage::{Camera, Footage};
use super::oracle::{self, samples};
use super::order::{assert_right, join_all, make, order};

/// How many sample entries the clip's video has.
fn entries(files: &[PathBuf]) -> usize {
    let clip = join_all(files);
    oracle::read(&clip.path).tracks("vide")[0].mdia.minf.stbl.stsd.codecs.len()
}

/// Joins what each of the cameras recorded.
fn join(cameras: &[Camera]) -> usize {
    let mut footage = Footage::new();
    let files: Vec<PathBuf> = cameras.iter().flat_map(|camera| footage.record(camera)).collect();
    entries(&files)
}

#[test]
fn h264() {
    assert_eq!(join(&[Camera { seconds: 8, ..Camera::h264() }]), 1);
}

#[test]
fn h265() {
    assert_eq!(join(&[Camera::h265("bframes=0")]), 1);
}

#[test]
fn h265_with_b_frames_and_open_picture_groups() {
    join(&[Camera::h265("bframes=3:open-gop=1"), Camera::h265("bframes=3:open-gop=1")]);
}

#[test]
fn h265_under_its_other_name_and_both_names_in_one_clip() {
    let hev1 = Camera { copy: "-tag:v hev1", ..Camera::h265("bframes=0") };
    join(std::slice::from_ref(&hev1));
    join(&[Camera::h265("bframes=0"), hev1]);
}

#[test]
fn b_frames() {
    join(&[Camera { seconds: 6, ..Camera::h264_b_frames() }]);
}

#[test]
fn b_frames_begin_and_end() {
    join(&[Camera::h264(), Camera::h264_b_frames(), Camera::h264()]);
}

#[test]
fn open_picture_groups() {
    let with = |more: &str| {
        let mut camera = Camera::h264_b_frames().out_of_band();
        camera.encoder += &format!(" -profile:v high -x264-params open-gop=1{more}");
        camera
    };
    assert_eq!(join(&[with(""), with(":ref=4:chroma-qp-offset=3")]), 2);
}

#[test]
fn h264_of_another_size() {
    for camera in [Camera::h264(), Camera::h264().out_of_band()] {
        let larger = Camera { size: "192x108", ..camera.clone() };
        assert_eq!(join(&[camera.clone(), larger, camera]), 2, "one for each distinct entry");
    }
}

#[test]
fn h265_of_another_size() {
    for camera in [Camera::h265("bframes=0"), Camera::h265("bframes=0").out_of_band()] {
        let larger = Camera { size: "192x108", ..camera.clone() };
        assert_eq!(join(&[camera.clone(), larger, camera]), 2);
    }
}

/// The same size before and after: nothing but the parameter sets tells that they changed.
#[test]
fn h264_that_switches_between_day_and_night() {
    let mut day = Camera::h264().out_of_band();
    let mut night = day.clone();
    day.encoder += " -profile:v baseline";
    night.encoder = night.encoder.replace("ultrafast", "veryfast") + " -profile:v high -refs 3";
    assert_eq!(join(&[day.clone(), night.clone(), day, night]), 2);
}

#[test]
fn frame_rates_and_time_scales() {
    let at = |fps, timescale| {
        let finish = match timescale {
            0 => "-movflags +faststart",
            600 => "-movflags +faststart -video_track_timescale 600",
            1_000_000 => "-movflags +faststart -video_track_timescale 1000000",
            _ => "-movflags +faststart -video_track_timescale 90000",
        };
        let mut camera = Camera { fps, finish, ..Camera::h264() };
        camera.encoder = camera.encoder.replace("-g 10", &format!("-g {fps}"));
        camera
    };
    join(&[at(10, 0), at(25, 600), at(5, 1_000_000), at(30, 90_000)]);
    join(&[at(25, 1_000_000), at(10, 600), at(30, 0)]);
    join(&[at(30, 600), at(10, 90_000)]);
}

/// Frames that come when they come, as many cameras send them.
#[test]
fn frames_at_uneven_times() {
    let mut footage = Footage::new();
    let mut camera = Camera { fps: 30, ..Camera::h264_b_frames() };
    camera.encoder += " -vf select='not(mod(floor(n*n/7)\\,3))' -vsync vfr -force_key_frames expr:gte(t,n_forced)";
    camera.in_band = false;
    let files = footage.record(&camera);
    join_all(&files);
}

#[test]
fn the_index_last() {
    let camera = Camera { finish: "", ..Camera::h264() };
    let mut footage = Footage::new();
    let files = footage.record(&camera);
    let kinds = oracle::read(&files[0]).boxes;
    assert_eq!(kinds.last().unwrap().0, "moov");
    join_all(&files);
}

#[test]
fn one_segment_and_one_frame() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    join_all(&files[..1]);
    let single = footage.path("single.mp4");
    footage.remux(&files[0], "-frames:v 1 -movflags +faststart", &single);
    let clip = join_all(&[single.clone(), files[1].clone(), single]);
    assert_eq!(clip.frames, 22);
}

#[test]
fn the_same_segment_again_and_again() {
    let mut footage = Footage::new();
    let file = footage.record(&Camera::h264_b_frames()).swap_remove(0);
    let clip = join_all(&vec![file; 6]);
    assert_eq!(clip.frames, 120);
}

/// ffmpeg's other codecs in MP4, which other cameras and Frigate's exports may have.
#[test]
fn other_codecs() {
    for encoder in [
        "-c:v mjpeg -q:v 5 -pix_fmt yuvj420p",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10",
    ] {
        let mut camera = Camera { in_band: false, ..Camera::h264() };
        camera.encoder = encoder.to_owned();
        let larger = Camera { size: "192x108", ..camera.clone() };
        join(&[camera, larger]);
    }
    // Its decoder takes parameter sets from between the pictures alone.
    let mut camera = Camera::h264();
    camera.encoder = "-c:v mpeg4 -bf 2 -g 10 -sc_threshold 1000000000 -q:v 5".to_owned();
    let mut footage = Footage::new();
    let file = footage.record_whole(&camera);
    std::fs::remove_file(join_all(&[file.clone(), file.clone()]).path).unwrap();
    let larger = footage.record_whole(&Camera { size: "192x108", ..camera });
    let refused = make(&order(&[file, larger])).unwrap_err().to_string();
    assert!(refused.contains("to MPEG-4 Part 2 with other parameters at"), "{refused}");
}

/// A recording that is larger than 32-bit offsets reach; nearly all of it is a hole.
#[test]
fn a_source_beyond_4_gib() {
    use std::os::unix::fs::FileExt;

    use mp4_atom::{Co64, Encode};

    const HOLE: u64 = 5 << 30;
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264_b_frames());
    let from = oracle::read(&files[0]);
    let mut moov = from.moov.clone();
    let tables = &mut moov.trak[0].mdia.minf.stbl;
    let offsets = tables.stco.take().unwrap().entries;
    let first = u64::from(offsets[0]);
    let moved = offsets.iter().map(|at| HOLE + u64::from(*at) - first).collect();
    tables.co64 = Some(Co64 { entries: moved });

    let bytes = std::fs::read(&files[0]).unwrap();
    let media = &bytes[first as usize..];
    let mut head = b"\0\0\0\x14ftypisom\0\0\x02\0isom\0\0\0\x01mdat".to_vec();
    let length = HOLE + media.len() as u64;
    head.extend((length - 20).to_be_bytes());
    let mut index = Vec::new();
    moov.encode(&mut index).unwrap();
    let path = footage.path("large.mp4");
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&head, 0).unwrap();
    file.write_all_at(media, HOLE).unwrap();
    file.write_all_at(&index, length).unwrap();

    let files = [files[1].clone(), path];
    let clip = join_all(&files);
    assert!(clip.bytes < 1 << 20, "the hole is not copied");
}

/// What is joined may be joined again: a clip is a recording like any other, though with several
/// entries in one track.
#[test]
fn a_clip_of_clips() {
    let mut footage = Footage::new();
    let camera = Camera::h264_b_frames().out_of_band();
    let larger = Camera { size: "192x108", ..camera.clone() };
    let files: Vec<PathBuf> =
        [&camera, &larger].into_iter().flat_map(|camera| footage.record(camera)).collect();
    let first = make(&order(&files)).unwrap().path;
    let again = footage.path("again.mp4");
    std::fs::rename(first, &again).unwrap();
    let clip = join_all(&[again.clone(), files[0].clone(), again]);
    assert_eq!(clip.frames, 2 * 80 + 20);
}

/// An export: one longer file, taken whole.
#[test]
fn an_export() {
    let mut footage = Footage::new();
    let camera = Camera { seconds: 6, sound: Some("-c:a aac"), ..Camera::h264_b_frames() };
    let export = footage.record_whole(&Camera { in_band: false, ..camera });
    let clip = make(&order(&[&export])).unwrap();
    assert_right(&clip, &[export]);
    assert_eq!((clip.frames, clip.gaps), (60, 0));
}

#[test]
fn chunks_name_their_own_entry() {
    let mut footage = Footage::new();
    let camera = Camera::h264().out_of_band();
    let larger = Camera { size: "192x108", ..camera.clone() };
    let small = footage.record(&camera);
    let large = footage.record(&larger);
    let clip = join_all(&[small[0].clone(), large[0].clone(), small[1].clone(), large[1].clone()]);
    let read = oracle::read(&clip.path);
    let named: Vec<u32> = samples(read.tracks("vide")[0]).iter().map(|s| s.entry).collect();
    assert_eq!(named, [[1; 20], [2; 20], [1; 20], [2; 20]].concat());
}
