//! Recordings as Frigate makes them, small enough to take no time: an encoder's stream, cut by
//! ffmpeg's segment muxer, each piece then moved with `-c copy -movflags +faststart`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Seconds of a segment.
pub const SEGMENT_S: u32 = 2;

const X264: &str = "-c:v libx264 -preset ultrafast -sc_threshold 0 -pix_fmt yuv420p";
const X265: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p";

/// What is recorded, and how.
#[derive(Debug, Clone)]
pub struct Camera {
    pub size: &'static str,
    pub fps: u32,
    pub seconds: u32,
    /// Arguments of the encoder.
    pub encoder: String,
    /// Arguments of the sound's encoder, if it is recorded.
    pub sound: Option<&'static str>,
    /// Whether the stream repeats its parameter sets, as cameras do; else only the index has them.
    pub in_band: bool,
    /// Arguments of both copying steps.
    pub copy: &'static str,
    /// Arguments of the second step.
    pub finish: &'static str,
}

impl Camera {
    fn of(encoder: String) -> Self {
        Self {
            size: "160x90",
            fps: 10,
            seconds: 4,
            encoder,
            sound: None,
            in_band: true,
            copy: "",
            finish: "-movflags +faststart",
        }
    }

    /// H.264, a keyframe each second, no B frames.
    pub fn h264() -> Self {
        Self::of(format!("{X264} -tune zerolatency -bf 0 -g 10"))
    }

    /// The same with B frames, which also serve as references.
    pub fn h264_b_frames() -> Self {
        Self::of(format!("{} -bf 3 -b_strategy 0 -g 10", X264.replace("ultrafast", "veryfast")))
    }

    /// H.265, a keyframe each second; `more` in x265's own words.
    pub fn h265(more: &str) -> Self {
        let params = "log-level=none:pools=none:frame-threads=1:keyint=10:min-keyint=10:scenecut=0";
        Self { copy: "-tag:v hvc1", ..Self::of(format!("{X265} -x265-params {params}:{more}")) }
    }

    /// The parameter sets only in the index.
    pub fn out_of_band(mut self) -> Self {
        self.in_band = false;
        self
    }
}

/// A folder of recordings.
#[derive(Debug)]
pub struct Footage {
    dir: TempDir,
    shot: u32,
}

impl Footage {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), shot: 0 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A named pipe, which nobody writes to.
    pub fn pipe(&self, name: &str) -> PathBuf {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let pipe = self.path(name);
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        pipe
    }

    /// Records. Every call shows something else.
    pub fn record(&mut self, camera: &Camera) -> Vec<PathBuf> {
        self.shot += 1;
        let stream = self.encode(camera);
        let cache = self.path(&format!("cache{}", self.shot));
        std::fs::create_dir(&cache).unwrap();
        ffmpeg(&format!(
            "-i {} -map 0 -c copy {} -f segment -segment_time {SEGMENT_S} -segment_format mp4 \
                 -reset_timestamps 1 {}/%03d.mp4",
            stream.display(),
            camera.copy,
            cache.display(),
        ));
        let mut pieces: Vec<PathBuf> =
            std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        pieces.sort();
        assert_eq!(pieces.len(), (camera.seconds / SEGMENT_S) as usize, "{camera:?}");
        pieces.iter().map(|piece| self.finish(piece, camera)).collect()
    }

    /// One file of `camera`, as Frigate's exports are.
    pub fn record_whole(&mut self, camera: &Camera) -> PathBuf {
        self.shot += 1;
        let stream = self.encode(camera);
        self.finish(&stream, camera)
    }

    fn encode(&self, camera: &Camera) -> PathBuf {
        let Camera { size, fps, seconds, encoder, .. } = camera;
        let container = if camera.in_band { "ts" } else { "mkv" };
        let stream = self.path(&format!("stream{}.{container}", self.shot));
        // One thread: x264 is then the same on every machine, and small pictures gain nothing.
        let video = format!(
            "-f lavfi -i testsrc2=s={size}:r={fps}:d={seconds},noise=alls=6:allf=t:all_seed={}",
            self.shot
        );
        let (sound, codec) = match camera.sound {
            None => (String::new(), String::new()),
            Some(codec) => {
                // Noise: no two of its samples are alike.
                let noise = format!("anoisesrc=r=16000:d={seconds}:seed={}", self.shot);
                (format!("-f lavfi -i {noise}"), codec.to_owned())
            }
        };
        let header = if camera.in_band { "" } else { "-flags +global_header" };
        ffmpeg(&format!(
            "{video} {sound} {encoder} {header} -threads 1 {codec} {}",
            stream.display()
        ));
        stream
    }

    fn finish(&self, piece: &Path, camera: &Camera) -> PathBuf {
        let name = piece.file_stem().unwrap().to_str().unwrap();
        let file = self.path(&format!("{}-{name}.mp4", self.shot));
        self.remux(piece, &format!("{} {}", camera.copy, camera.finish), &file);
        file
    }

    /// Copies a file's samples into a new file.
    pub fn remux(&self, from: &Path, how: &str, to: &Path) {
        ffmpeg(&format!("-i {} -map 0 -c copy {how} {}", from.display(), to.display()));
    }
}

/// Runs ffmpeg with these words as its arguments.
pub fn ffmpeg(arguments: &str) {
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(arguments.split_whitespace())
        .status()
        .expect("ffmpeg is there (`make tools` installs it)");
    assert!(made.success(), "ffmpeg {arguments}");
}
