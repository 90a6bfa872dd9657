//! Joining in this process: read every index, plan, copy, write the clip's own index, rename.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::control::Control;
use super::copy::{Copier, Failed, sharing};
use super::entries::Codec;
use super::error::Notes;
use super::movie::Movie;
use super::part::Part;
use super::plan::{Added, Layout, Packing, Plan, Refusal};
use super::read::{self, Identity};
use super::unfit::Unfit;
use super::{Clip, ClipError, Engine, Order, moov};
use crate::fault;

/// Bytes of index written at once.
const INDEX_BUFFER: usize = 256 * 1024;

/// Makes the clip that `order` asks for.
pub(super) fn join(order: &Order, control: &Control) -> Result<Clip, ClipError> {
    let part = Part::create(&order.output)?;
    part.check_inputs(&order.segments)?;
    let seen = vec![None; order.segments.len()];
    let mut join = Join { order, control, part: &part, notes: Notes::default(), seen };
    let plan = join.survey()?;
    let planned = plan.and_then(|plan| Some((plan.layout()?, plan)));
    let (layout, mut plan) = planned.ok_or_else(|| join.notes.nothing(order))?;
    part.check_space(layout.length, order.spare_bytes)?;
    if !plan.shares_blocks() {
        part.reserve(layout.length)?;
    }
    join.copy(&mut plan, layout)?;
    if plan.pieces().next().is_none() {
        return Err(join.notes.nothing(order));
    }
    let bytes = write_index(&plan, layout, &part.file).map_err(part.unwritable())?;
    let notes = join.notes;
    if control.is_cancelled() {
        return Err(ClipError::Cancelled);
    }
    part.finish()?;
    let pieces = plan.shown_s().map(|(piece, seconds)| {
        let segment = &order.segments[piece.source];
        (segment, segment.start.plus(piece.from_s), seconds)
    });
    let frames = plan.pieces().map(|piece| piece.frames).sum();
    Ok(Clip::of(order, Engine::Native, pieces, frames, bytes, notes))
}

/// Writes all that comes before the copied bytes, and cuts off what follows the last of them.
fn write_index(plan: &Plan, layout: Layout, file: &File) -> std::io::Result<u64> {
    let length = moov::write(plan, layout, BufWriter::with_capacity(INDEX_BUFFER, file))?;
    file.set_len(length)?;
    Ok(length)
}

/// A clip being joined.
struct Join<'a> {
    order: &'a Order,
    control: &'a Control,
    part: &'a Part,
    notes: Notes,
    /// For each segment, what was there when its index was read.
    seen: Vec<Option<Identity>>,
}

impl Join<'_> {
    /// Reads the index of every segment, and plans the clip. `None` if there is nothing to join.
    fn survey(&mut self) -> Result<Option<Plan>, ClipError> {
        let mut plan = None;
        let mut buffer = Vec::new();
        for (source, segment) in self.order.segments.iter().enumerate() {
            if self.control.is_cancelled() {
                return Err(ClipError::Cancelled);
            }
            match self.add(source, &mut plan, &mut buffer) {
                Ok(Some((identity, added))) => {
                    self.seen[source] = Some(identity);
                    self.notes.added(&segment.path, added);
                }
                Ok(None) => {}
                Err(refusal) => self.refused(&segment.path, refusal)?,
            }
        }
        Ok(plan)
    }

    /// Adds one segment to the plan, which begins with the first that can be read.
    fn add(
        &self,
        source: usize,
        plan: &mut Option<Plan>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(Identity, Added)>, Refusal> {
        let segment = &self.order.segments[source];
        let (file, identity) = read::open(&segment.path)?;
        let movie = Movie::parse(read::index(&file, identity.length, buffer)?)?;
        let plan = plan.get_or_insert_with(|| {
            let block = sharing(&file, identity.length, &self.part.file);
            let packing = block.map_or(Packing::PAGES, Packing::blocks);
            Plan::new(packing, self.order.keep_audio)
        });
        let added = plan.add(source, &movie, identity.length, self.order.trim.of(segment))?;
        Ok(added.map(|added| (identity, added)))
    }

    /// A segment that does not go into the clip: without it, or not at all.
    fn refused(&mut self, path: &Path, refusal: Refusal) -> Result<(), ClipError> {
        match refusal {
            Refusal::File(unfit) if !unfit.needs_ffmpeg() => {
                self.notes.left_out(path, &unfit);
                Ok(())
            }
            Refusal::Codec { was, is } => Err(codec_change(path, was, is)),
            Refusal::Parameters(codec) => Err(ClipError::CodecChange {
                path: path.to_owned(),
                was: codec.to_string(),
                is: format!("{codec} with other parameters"),
            }),
            other => Err(ClipError::Unjoinable { path: path.to_owned(), why: other.to_string() }),
        }
    }

    /// Copies what the plan says. A segment that is not any more what it was is left out.
    fn copy(&mut self, plan: &mut Plan, layout: Layout) -> Result<(), ClipError> {
        let mut copier =
            Copier::new(&self.part.file, plan.shares_blocks(), plan.to_copy(), self.control);
        let mut due = 0;
        for piece in 0..plan.count() {
            fault::point("clip-piece");
            let (source, copies) = plan.work(piece);
            due += copies.iter().map(|copy| copy.length).sum::<u64>();
            let path = &self.order.segments[source].path;
            match self.copy_piece(&mut copier, plan, layout, piece) {
                Ok(()) => {}
                Err(Failed::Cancelled) => return Err(ClipError::Cancelled),
                Err(Failed::Target(error)) => return Err(self.part.unwritable()(error)),
                Err(Failed::Source(unfit)) => {
                    self.notes.left_out(path, &unfit);
                    plan.lose(piece);
                    copier.pass_over(due);
                }
            }
        }
        Ok(())
    }

    fn copy_piece(
        &self,
        copier: &mut Copier<'_>,
        plan: &Plan,
        layout: Layout,
        piece: usize,
    ) -> Result<(), Failed> {
        let (source, copies) = plan.work(piece);
        let unchanged = |identity: Identity| {
            (Some(identity) == self.seen[source])
                .then_some(())
                .ok_or(Failed::Source(Unfit::Changed))
        };
        let (file, identity) =
            read::open(&self.order.segments[source].path).map_err(Failed::Source)?;
        unchanged(identity)?;
        for copy in copies {
            copier.copy(&file, layout.media, *copy)?;
        }
        unchanged(Identity::of(&file).map_err(|error| Failed::Source(error.into()))?)
    }
}

/// The error for a range with two codecs.
pub(super) fn codec_change(path: &Path, was: Codec, is: Codec) -> ClipError {
    ClipError::CodecChange { path: path.to_owned(), was: was.to_string(), is: is.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::{Segment, Trim};
    use super::*;
    use crate::words::UnixTime;

    /// Three recordings of 20 frames each, and an order for them.
    fn order(folder: &Path) -> Order {
        let made = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
            .args(["testsrc2=s=64x36:r=10:d=6", "-c:v", "mpeg4", "-g", "10", "-f", "segment"])
            .args(["-segment_time", "2", "-reset_timestamps", "1"])
            .arg(folder.join("%d.mp4"))
            .status();
        assert!(made.expect("ffmpeg is there").success());
        let segment = |number: u32| Segment {
            path: folder.join(format!("{number}.mp4")),
            start: UnixTime::from_secs(2 * number),
            end: UnixTime::from_secs(2 * number + 2),
        };
        Order {
            segments: (0..3).map(segment).collect(),
            trim: Trim::default(),
            output: folder.join("clip.mp4"),
            keep_audio: false,
            engine: Engine::Native,
            ffmpeg: PathBuf::new(),
            spare_bytes: 0,
        }
    }

    /// Does `amidst` to the second recording after its index was read and before it is copied. Gives
    /// the frames of the clip, and what is noted of that recording.
    fn frames_after(amidst: impl FnOnce(&Path)) -> (usize, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path());
        let control = Control::unheard();
        let part = Part::create(&order.output).unwrap();
        let seen = vec![None; 3];
        let notes = Notes::default();
        let mut join = Join { order: &order, control: &control, part: &part, notes, seen };
        let mut plan = join.survey().unwrap().unwrap();
        amidst(&order.segments[1].path);
        let layout = plan.layout().unwrap();
        join.copy(&mut plan, layout).unwrap();
        assert_eq!(control.reported(), 100.0);
        let length = write_index(&plan, layout, &part.file).unwrap();
        let mut buffer = Vec::new();
        let movie = Movie::parse(read::index(&part.file, length, &mut buffer).unwrap()).unwrap();
        let mut frames = 0;
        for sample in movie.video.samples() {
            // Each starts as MPEG-4's pictures do, the first of a group with its headers.
            let mut start = [0; 3];
            std::os::unix::fs::FileExt::read_exact_at(&part.file, &mut start, sample.offset)
                .unwrap();
            assert_eq!(start, [0, 0, 1]);
            frames += 1;
        }
        (frames, join.notes.into_warnings())
    }

    #[test]
    fn what_vanishes_or_changes_before_it_is_copied_is_left_out() {
        type Amidst = fn(&Path);
        let changed = "was replaced or cut short while it was read";
        let cases: [(&str, Amidst); 5] = [
            ("is not there", |path| fs::remove_file(path).unwrap()),
            // As Frigate does before it removes a recording, when space is low.
            (changed, |path| drop(fs::File::create(path).unwrap())),
            (changed, |path| {
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            }),
            (changed, |path| {
                let other = path.with_extension("other");
                fs::copy(path, &other).unwrap();
                fs::rename(other, path).unwrap();
            }),
            (changed, |path| {
                let file = fs::File::options().write(true).open(path).unwrap();
                let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10);
                file.set_modified(later).unwrap();
            }),
        ];
        for (why, amidst) in cases {
            let (frames, notes) = frames_after(amidst);
            assert_eq!(frames, 40);
            assert!(notes.len() == 1 && notes[0].ends_with(&format!("1.mp4 {why}")), "{notes:?}");
        }
        assert_eq!(frames_after(|_| {}), (60, vec![]));
    }
}
