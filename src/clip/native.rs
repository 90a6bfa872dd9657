//! Joining in this process: read every index, plan, copy, write the clip's own index, rename.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::control::Control;
use super::copy::{Copier, Failed, sharing};
use super::entries::Codec;
use super::error::Notes;
use super::part::Part;
use super::plan::{Layout, Packing, Plan, Refusal};
use super::read::{self, Identity};
use super::tables::{Movie, Unfit};
use super::{Clip, ClipError, Engine, Order, moov};

/// Bytes of index written at once.
const INDEX_BUFFER: usize = 256 * 1024;

/// Makes the clip that `order` asks for.
pub(super) fn join(order: &Order, control: &Control) -> Result<Clip, ClipError> {
    let part = Part::create(&order.output)?;
    let mut join = Join {
        order,
        control,
        part: &part,
        notes: Notes::default(),
        seen: Vec::new(),
    };
    let (mut plan, share) = join.survey()?;
    let layout = plan.layout().ok_or_else(|| join.notes.nothing(order))?;
    part.check_space(layout.length, order.spare_bytes)?;
    if !share {
        part.reserve(layout.length)?;
    }
    join.copy(&mut plan, layout, share)?;
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
    Ok(Clip::of(
        order,
        Engine::Native,
        pieces,
        frames,
        bytes,
        notes,
    ))
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
    /// For each segment, what was read when its index was.
    seen: Vec<Option<Identity>>,
}

impl Join<'_> {
    /// Reads the index of every segment. Says also whether blocks can be shared.
    fn survey(&mut self) -> Result<(Plan, bool), ClipError> {
        let mut plan = None;
        let mut share = false;
        let mut buffer = Vec::new();
        for (source, segment) in self.order.segments.iter().enumerate() {
            if self.control.is_cancelled() {
                return Err(ClipError::Cancelled);
            }
            self.seen.push(None);
            let (file, identity) = match read::open(&segment.path) {
                Ok(opened) => opened,
                Err(unfit) => {
                    self.notes.left_out(&segment.path, &unfit);
                    continue;
                }
            };
            if self.part.replaces(&identity) {
                return Err(ClipError::OutputIsInput {
                    path: segment.path.clone(),
                });
            }
            let plan = match &mut plan {
                Some(plan) => plan,
                None => {
                    let block = sharing(&file, identity.length, &self.part.file)
                        .map_err(self.part.unwritable())?;
                    share = block.is_some();
                    let packing = block.map_or(Packing::CLOSE, Packing::blocks);
                    plan.insert(Plan::new(packing, self.order.keep_audio))
                }
            };
            let wanted = self.order.trim.of(segment);
            let added = read::index(&file, identity.length, &mut buffer)
                .and_then(Movie::parse)
                .map_err(Refusal::File)
                .and_then(|movie| plan.add(source, &movie, identity.length, wanted));
            match added {
                Ok(None) => {}
                Ok(Some(added)) => {
                    self.seen[source] = Some(identity);
                    self.notes.added(&segment.path, added);
                }
                Err(refusal) => self.refused(&segment.path, refusal)?,
            }
        }
        let plan = plan.ok_or_else(|| self.notes.nothing(self.order))?;
        Ok((plan, share))
    }

    /// A segment that does not go into the clip: without it, or not at all.
    fn refused(&mut self, path: &Path, refusal: Refusal) -> Result<(), ClipError> {
        match refusal {
            Refusal::File(unfit) if !unfit.needs_ffmpeg() => {
                self.notes.left_out(path, &unfit);
                Ok(())
            }
            Refusal::Codec { was, is } => Err(codec_change(path, was, is)),
            other => Err(ClipError::Unjoinable {
                path: path.to_owned(),
                why: other.to_string(),
            }),
        }
    }

    /// Copies what the plan says. A segment that is not any more what it was is left out.
    fn copy(&mut self, plan: &mut Plan, layout: Layout, share: bool) -> Result<(), ClipError> {
        let mut copier = Copier::new(&self.part.file, share, plan.to_copy(), self.control);
        for piece in 0..plan.count() {
            let (source, _) = plan.work(piece);
            let path = &self.order.segments[source].path;
            match self.copy_piece(&mut copier, plan, layout, piece) {
                Ok(()) => {}
                Err(Failed::Cancelled) => return Err(ClipError::Cancelled),
                Err(Failed::Target(error)) => return Err(self.part.unwritable()(error)),
                Err(Failed::Source(unfit)) => {
                    self.notes.left_out(path, &unfit);
                    plan.lose(piece);
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
    ClipError::CodecChange {
        path: path.to_owned(),
        was: was.to_string(),
        is: is.to_string(),
    }
}
