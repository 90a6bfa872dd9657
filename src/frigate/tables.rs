//! Every setting that a replay takes over, as tables. [`check`](super::check) holds a config to them,
//! [`replay_camera`](super::replay_camera) writes the replay camera's config by them, and
//! [`schema`](super::schema) describes it by them.
//!
//! Types, defaults and limits are those of Frigate 0.18 (its pydantic models).

use super::fields::*;

const COORDINATES: &str = "Corners of a polygon, x,y,x,y,… as fractions of the frame: one text, or \
                           a list of texts.";

/// The sections that a replay takes over and an override may name, in Frigate's order.
pub(super) const REPLAYED: [&str; 6] =
    ["detect", "objects", "zones", "motion", "lpr", "face_recognition"];

/// The table of a section that a replay takes over; `zones` is a map of [`ZONE`]s instead.
pub(super) fn replayed(name: &str) -> Option<&'static Section> {
    match name {
        "detect" => Some(&DETECT),
        "objects" => Some(&OBJECTS),
        "motion" => Some(&MOTION),
        "lpr" => Some(&LPR),
        "face_recognition" => Some(&FACE_RECOGNITION),
        _ => None,
    }
}

#[rustfmt::skip]
pub(super) static DETECT: Section = closed("How frames are fed to the detector and objects are followed.", &[
    flag("enabled", false, "Whether object detection runs."),
    int("height", 0, "Height of the frames, in pixels.").maybe(),
    int("width", 0, "Width of the frames, in pixels.").maybe(),
    int("fps", 5, "Frames per second that are looked at."),
    int("min_initialized", 0, "Detections in a row before an object counts.").maybe().at_least(2.0).lost(),
    int("max_disappeared", 0, "Frames without a detection before an object is gone.").maybe().lost(),
    section("stationary", &STATIONARY),
    int("annotation_offset", 0, "Shift of the boxes drawn on recordings, in milliseconds."),
]);

#[rustfmt::skip]
static STATIONARY: Section = closed("Objects that stand still.", &[
    int("interval", 0, "Frames between two looks at a stationary object.").maybe().above(0.0),
    int("threshold", 0, "Frames without motion before an object is stationary.").maybe().at_least(1.0),
    section("max_frames", &MAX_FRAMES),
    flag("classifier", true, "Whether a classifier confirms that an object stands still."),
]);

#[rustfmt::skip]
static MAX_FRAMES: Section = closed("How long stationary objects are followed.", &[
    int("default", 0, "Frames for every label that has no number of its own.").maybe().at_least(1.0),
    field("objects", Kind::MapOfInt, Preset::Empty, "Frames for each label."),
]);

#[rustfmt::skip]
pub(super) static OBJECTS: Section = closed("Which objects are followed, and which detections count.", &[
    field("track", Kind::Texts, Preset::Texts(&["person"]), "Labels that are followed."),
    field("filters", Kind::MapOf(&FILTER), Preset::Empty, "Filters for each label."),
    field("mask", Kind::MapOfNullable(&MASK), Preset::Empty, "Masks for every label, by id."),
    unread("raw_mask"),
    unread("genai"),
]);

#[rustfmt::skip]
pub(super) static FILTER: Section = closed("What a detection of one label must be like to count.", &[
    field("min_area", Kind::Area, Preset::Int(0), "Smallest area of the box, in pixels."),
    field("max_area", Kind::Area, Preset::Int(24_000_000), "Largest area of the box, in pixels."),
    float("min_ratio", 0.0, "Smallest width / height of the box."),
    float("max_ratio", 24_000_000.0, "Largest width / height of the box."),
    float("threshold", 0.7, "Median score at which the object counts."),
    float("min_score", 0.5, "Score below which a detection is dropped."),
    field("mask", Kind::MapOfNullable(&MASK), Preset::Empty, "Masks for this label, by id."),
    unread("raw_mask"),
]);

#[rustfmt::skip]
pub(super) static MASK: Section = closed("A polygon in which nothing counts.", &[
    text("friendly_name", "Name shown to people."),
    flag("enabled", true, "Whether the mask holds."),
    field("coordinates", Kind::TextOrTexts, Preset::Text(""), COORDINATES),
    field("raw_coordinates", Kind::TextOrTexts, Preset::Text(""), COORDINATES).computed(),
    flag("enabled_in_config", true, "Whether the mask held in the config.").maybe().computed(),
]);

#[rustfmt::skip]
pub(super) static MOTION: Section = closed("What counts as motion.", &[
    flag("enabled", true, "Whether motion is looked for."),
    int("threshold", 30, "Difference of a pixel that counts.").at_least(1.0).at_most(255.0),
    float("lightning_threshold", 0.8, "Changed part of the frame that is taken for lightning.").at_least(0.3).at_most(1.0),
    float("skip_motion_threshold", 0.0, "Changed part of the frame from which motion is ignored.").maybe().at_least(0.0).at_most(1.0),
    flag("improve_contrast", true, "Whether contrast is raised first."),
    int("contour_area", 10, "Smallest area that counts, in pixels of the scaled frame.").or_null(),
    float("delta_alpha", 0.2, "Weight of a new frame in the averaged difference."),
    float("frame_alpha", 0.01, "Weight of a new frame in the averaged background."),
    int("frame_height", 100, "Height that frames are scaled to, in pixels.").or_null(),
    field("mask", Kind::MapOfNullable(&MASK), Preset::Empty, "Masks, by id."),
    int("mqtt_off_delay", 30, "Seconds after the last motion until it is reported over."),
    flag("enabled_in_config", true, "").maybe().lost(),
    unread("raw_mask"),
]);

#[rustfmt::skip]
pub(super) static ZONE: Section = Section {
    unknown: Unknown::Dropped,
    doc: "A part of the frame with a name. Settings that have their default are left out.",
    fields: &[
        text("friendly_name", "Name shown to people."),
        flag("enabled", true, "Whether the zone is looked at."),
        flag("enabled_in_config", true, "Whether the zone was looked at in the config.").maybe().computed(),
        field("filters", Kind::MapOf(&FILTER), Preset::Empty, "Filters that hold in this zone, for each label."),
        field("coordinates", Kind::TextOrTexts, Preset::Required, COORDINATES),
        field("distances", Kind::Distances, Preset::Texts(&[]), "Real lengths of the four sides, as texts.").or_null(),
        int("inertia", 3, "Frames in a row before an object is in the zone.").above(0.0),
        int("loitering_time", 0, "Seconds in the zone before an object loiters.").at_least(0.0),
        float("speed_threshold", 0.0, "Speed below which an object is not in the zone.").maybe().at_least(0.1),
        field("objects", Kind::OneOrTexts, Preset::Texts(&[]), "Labels that the zone looks at; all if empty."),
    ],
};

#[rustfmt::skip]
pub(super) static LPR: Section = closed("License plates.", &[
    flag("enabled", false, "Whether license plates are read."),
    int("expire_time", 3, "Seconds until a plate that is not seen any more is forgotten.").above(0.0),
    int("min_area", 1000, "Smallest plate that is read, in pixels."),
    int("enhancement", 0, "How strongly a plate's picture is enhanced.").at_least(0.0).at_most(10.0),
]);

#[rustfmt::skip]
pub(super) static FACE_RECOGNITION: Section = closed("Faces.", &[
    flag("enabled", false, "Whether faces are recognized."),
    int("min_area", 750, "Smallest face that is looked at, in pixels."),
]);

const MODEL_SIZES: Kind = Kind::Choice(&["small", "large"]);

const fn score(name: &'static str, preset: f64) -> Field {
    float(name, preset, "").above(0.0).at_most(1.0)
}

#[rustfmt::skip]
static LPR_GLOBAL: Section = closed("", &[
    flag("enabled", false, ""),
    field("model_size", MODEL_SIZES, Preset::Absent, ""),
    score("detection_threshold", 0.7),
    int("min_area", 1000, ""),
    score("recognition_threshold", 0.9),
    int("min_plate_length", 4, ""),
    text("format", ""),
    int("match_distance", 1, "").at_least(0.0),
    field("known_plates", Kind::MapOfTexts, Preset::Absent, "").or_null(),
    int("enhancement", 0, "").at_least(0.0).at_most(10.0),
    flag("debug_save_plates", false, ""),
    text("device", ""),
    field("replace_rules", Kind::ListOf(&REPLACE_RULE), Preset::Absent, ""),
]);

#[rustfmt::skip]
static REPLACE_RULE: Section = closed("", &[
    field("pattern", Kind::Text, Preset::Required, ""),
    field("replacement", Kind::Text, Preset::Required, ""),
]);

#[rustfmt::skip]
static FACE_RECOGNITION_GLOBAL: Section = closed("", &[
    flag("enabled", false, ""),
    field("model_size", MODEL_SIZES, Preset::Absent, ""),
    score("unknown_score", 0.8),
    score("detection_threshold", 0.7),
    score("recognition_threshold", 0.9),
    int("min_area", 750, ""),
    int("min_faces", 1, "").above(0.0).at_most(6.0),
    int("save_attempts", 200, "").at_least(0.0),
    flag("blur_confidence_filter", true, ""),
    text("device", ""),
]);

// Sections that no replay takes over, but that Frigate's checks of a camera look into.

#[rustfmt::skip]
static SWITCH: Section = partly_read(&[flag("enabled", false, "").absent()]);
#[rustfmt::skip]
static REVIEW: Section = partly_read(&[optional("alerts", &REVIEW_ITEMS), optional("detections", &REVIEW_ITEMS)]);
#[rustfmt::skip]
static REVIEW_ITEMS: Section = partly_read(&[field("required_zones", Kind::OneOrTexts, Preset::Absent, "")]);
#[rustfmt::skip]
static ONVIF: Section = partly_read(&[optional("autotracking", &AUTOTRACKING)]);
#[rustfmt::skip]
static AUTOTRACKING: Section = partly_read(&[
    flag("enabled", false, "").absent(),
    field("required_zones", Kind::Texts, Preset::Absent, ""),
]);
#[rustfmt::skip]
static FFMPEG: Section = partly_read(&[optional("output_args", &OUTPUT_ARGS)]);
#[rustfmt::skip]
static OUTPUT_ARGS: Section = partly_read(&[field("record", Kind::TextOrTexts, Preset::Absent, "")]);
#[rustfmt::skip]
static MODEL: Section = partly_read(&[
    field("attributes_map", Kind::MapOfTexts, Preset::Absent, ""),
    text("path", "").absent(),
    text("labelmap_path", "").absent(),
]);

const fn optional(name: &'static str, of: &'static Section) -> Field {
    field(name, Kind::Section(of), Preset::Absent, "")
}

/// A camera with nothing but the sections that a replay takes over.
#[rustfmt::skip]
pub(super) static REPLAYED_SECTIONS: Section = closed("", &[
    optional("detect", &DETECT),
    optional("objects", &OBJECTS),
    optional("motion", &MOTION),
    field("zones", Kind::MapOf(&ZONE), Preset::Absent, ""),
    optional("lpr", &LPR),
    optional("face_recognition", &FACE_RECOGNITION),
]);

/// What a camera may hold.
#[rustfmt::skip]
pub(super) static CAMERA: Section = closed("", &[
    text("name", "").absent(),
    text("friendly_name", "").absent(),
    flag("enabled", true, "").absent(),
    flag("enabled_in_config", true, "").absent().or_null(),
    field("type", Kind::Choice(&["generic", "lpr"]), Preset::Absent, ""),
    text("webui_url", "").absent(),
    int("best_image_timeout", 60, "").absent(),
    optional("detect", &DETECT),
    optional("objects", &OBJECTS),
    optional("motion", &MOTION),
    field("zones", Kind::MapOf(&ZONE), Preset::Absent, ""),
    optional("lpr", &LPR),
    optional("face_recognition", &FACE_RECOGNITION),
    field("ffmpeg", Kind::Section(&FFMPEG), Preset::Required, ""),
    optional("record", &SWITCH),
    optional("audio", &SWITCH),
    optional("audio_transcription", &SWITCH),
    optional("review", &REVIEW),
    optional("onvif", &ONVIF),
    unread("birdseye"),
    unread("live"),
    unread("mqtt"),
    unread("notifications"),
    unread("profiles"),
    unread("semantic_search"),
    unread("snapshots"),
    unread("timestamp_style"),
    unread("ui"),
]);

/// The top-level sections that flow into a camera or decide over it. The rest of the file does not
/// stop a replay.
#[rustfmt::skip]
pub(super) static GLOBALS: Section = partly_read(&[
    optional("detect", &DETECT),
    optional("objects", &OBJECTS),
    optional("motion", &MOTION),
    optional("lpr", &LPR_GLOBAL),
    optional("face_recognition", &FACE_RECOGNITION_GLOBAL),
    optional("ffmpeg", &FFMPEG),
    optional("record", &SWITCH),
    optional("audio", &SWITCH),
    optional("audio_transcription", &SWITCH),
    optional("review", &REVIEW),
    optional("model", &MODEL),
    unread("birdseye"),
    unread("live"),
    unread("notifications"),
    unread("profiles"),
    unread("snapshots"),
    unread("timestamp_style"),
]);

/// The global sections that are laid below a camera's own, as far as anything here looks at them.
#[rustfmt::skip]
pub(super) const FLOWING: [&str; 9] =
    ["detect", "objects", "motion", "lpr", "face_recognition", "record", "audio", "review", "ffmpeg"];

/// The top-level keys of Frigate 0.18 that [`GLOBALS`] does not list.
#[rustfmt::skip]
pub(super) const OTHER_TOP_LEVEL: [&str; 20] = [
    "version", "safe_mode", "environment_vars", "logger", "auth", "database", "go2rtc", "mqtt",
    "networking", "proxy", "telemetry", "tls", "ui", "detectors", "genai", "cameras",
    "classification", "semantic_search", "camera_groups", "active_profile",
];
