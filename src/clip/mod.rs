//! The clip: one MP4 of a stretch of recordings, made beside the recordings, whole or not at all.
