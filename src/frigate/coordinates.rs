//! Polygons: pixels of the detect frame or fractions of it, told apart as Frigate tells them apart.
//!
//! Frigate takes a polygon for pixels as soon as one of its numbers sorts, *as text*, after "1.0":
//! "10" and "5" do, but so do "1.00" and "1e-05", while " 640" (with a blank) does not. What comes
//! out must be equal to what Frigate computes, so this follows it to the letter, and explains itself
//! where that is surprising.

use super::python;
use super::scalar::quoted;
use super::tree::{Node, Source, Value};

/// The detect frame, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub width: i64,
    pub height: i64,
}

/// What became of a polygon.
pub(super) struct Placed {
    /// What replaces the polygon; `None` leaves it as it was written.
    pub replaced: Option<Value>,
    /// The first point outside the frame that made Frigate drop the point (of a list) or leave the
    /// whole polygon unconverted (a text).
    pub outside: Option<String>,
}

/// What a piece of a polygon is compared with, as text.
const EDGE: &str = "1.0";

fn is_pixels(piece: &str) -> bool {
    piece > EDGE
}

fn any_pixels(polygon: &str) -> bool {
    polygon.split(',').any(is_pixels)
}

/// A mask's coordinates: one polygon as a text, or a list of polygons of which the first decides
/// whether the list holds pixels.
pub(super) fn place_mask(coordinates: &Node, frame: Frame) -> Result<Placed, String> {
    let untouched = Placed { replaced: None, outside: None };
    match &coordinates.value {
        Value::Text(text) if any_pixels(text) => {
            let mut points = Vec::new();
            for point in pixels(text)? {
                let (x, y) = point?;
                if let Some(outside) = outside(x, y, frame) {
                    return Ok(Placed { replaced: None, outside: Some(outside) });
                }
                points.push(fraction(x, y, frame)?);
            }
            Ok(Placed { replaced: Some(Value::Text(points.join(","))), outside: None })
        }
        Value::List(polygons) if polygons.first().and_then(Node::text).is_some_and(any_pixels) => {
            let mut first_outside = None;
            let mut placed = Vec::new();
            for polygon in polygons {
                let text = polygon.text().unwrap_or_default();
                let value = if any_pixels(text) {
                    Value::Text(inner_points(text, frame, &mut first_outside)?)
                } else {
                    polygon.value.clone()
                };
                placed.push(Node { value, source: polygon.source });
            }
            Ok(Placed { replaced: Some(Value::List(placed)), outside: first_outside })
        }
        _ => Ok(untouched),
    }
}

/// The points of a pixel polygon that lie inside the frame, as fractions.
fn inner_points(
    polygon: &str,
    frame: Frame,
    first_outside: &mut Option<String>,
) -> Result<String, String> {
    let mut points = Vec::new();
    for point in pixels(polygon)? {
        let (x, y) = point?;
        match outside(x, y, frame) {
            Some(outside) => {
                first_outside.get_or_insert(outside);
            }
            None => points.push(fraction(x, y, frame)?),
        }
    }
    Ok(points.join(","))
}

/// The points of a pixel polygon, each read only when its turn comes.
fn pixels(polygon: &str) -> Result<impl Iterator<Item = Result<(i128, i128), String>>, String> {
    let pieces: Vec<&str> = polygon.split(',').collect();
    let points = pieces.len().div_ceil(2);
    Ok((0..points).map(move |point| {
        let x = pixel(pieces[2 * point], &pieces)?;
        let y = pieces.get(2 * point + 1).ok_or_else(|| odd_count(pieces.len()))?;
        Ok((x, pixel(y, &pieces)?))
    }))
}

fn odd_count(count: usize) -> String {
    format!("has {count} numbers, but every x needs a y")
}

fn pixel(piece: &str, pieces: &[&str]) -> Result<i128, String> {
    python::int(piece).ok_or_else(|| {
        let deceptive = pieces.iter().find(|piece| {
            is_pixels(piece) && python::float(piece).is_some_and(|value| value <= 1.0)
        });
        let why = match deceptive {
            Some(piece) => format!(
                "; Frigate takes {} for pixels, and with it the whole polygon: write 1 for the edge, and no blanks",
                quoted(piece)
            ),
            None => String::new(),
        };
        format!("{} is not a whole number of pixels{why}", quoted(piece))
    })
}

fn outside(x: i128, y: i128, frame: Frame) -> Option<String> {
    (x > i128::from(frame.width) || y > i128::from(frame.height)).then(|| {
        format!(
            "the point {x},{y} is outside of the detect frame of {}x{}",
            frame.width, frame.height
        )
    })
}

fn fraction(x: i128, y: i128, frame: Frame) -> Result<String, String> {
    if frame.width == 0 || frame.height == 0 {
        return Err("is in pixels, but the detect frame has none".to_owned());
    }
    let part =
        |pixels: i128, of: i64| python::float_text(python::round3(pixels as f64 / of as f64));
    Ok(format!("{},{}", part(x, frame.width), part(y, frame.height)))
}

/// Whether Frigate can draw an enabled mask's coordinates: fractions only, a y for every x.
pub(super) fn check_drawable(coordinates: &Value, frame: Frame) -> Result<(), String> {
    match coordinates {
        Value::Text(text) if text.is_empty() => Ok(()),
        Value::Text(text) => check_polygon(text, frame),
        Value::List(polygons) => polygons
            .iter()
            .try_for_each(|polygon| check_polygon(polygon.text().unwrap_or_default(), frame)),
        _ => Ok(()),
    }
}

fn check_polygon(polygon: &str, frame: Frame) -> Result<(), String> {
    if any_pixels(polygon) {
        return Err("holds pixels, but the first polygon of the list holds fractions of the frame"
            .to_owned());
    }
    if (frame.width == 0) != (frame.height == 0) {
        return Err("cannot be drawn: the detect frame has no pixels".to_owned());
    }
    let pieces: Vec<&str> = polygon.split(',').collect();
    for point in pieces.chunks(2) {
        corner(point[0], frame.width)?;
        corner(point.get(1).ok_or_else(|| odd_count(pieces.len()))?, frame.height)?;
    }
    Ok(())
}

/// Largest pixel that Frigate's drawing library takes.
const PIXEL_MAX: f64 = 9.2e18;

fn corner(piece: &str, size: i64) -> Result<f64, String> {
    let fraction = number(piece)?;
    if (fraction * size as f64).abs() < PIXEL_MAX {
        Ok(fraction)
    } else {
        Err(format!("{} is no fraction of the frame", quoted(piece)))
    }
}

fn number(piece: &str) -> Result<f64, String> {
    python::float(piece).ok_or_else(|| format!("{} is not a number", quoted(piece)))
}

/// A zone's coordinates: one polygon as a text, or a list of points "x,y" in which only the x decide
/// whether they are pixels. Pixels become one text of fractions.
pub(super) fn place_zone(coordinates: &Node, frame: Frame) -> Result<Placed, String> {
    let polygon = match &coordinates.value {
        Value::Text(text) => {
            if any_pixels(text) {
                Some(text.clone())
            } else {
                check_fractions(&text.split(',').collect::<Vec<_>>())?;
                None
            }
        }
        Value::List(points) => {
            let points = points
                .iter()
                .map(|point| two_pieces(point.text().unwrap_or_default()))
                .collect::<Result<Vec<_>, _>>()?;
            if points.iter().any(|(x, _)| is_pixels(x)) {
                let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
                Some(points.join(","))
            } else {
                points.iter().try_for_each(|(x, y)| check_fractions(&[x, y]))?;
                None
            }
        }
        _ => None,
    };
    let Some(polygon) = polygon else {
        return Ok(Placed { replaced: None, outside: None });
    };
    let mut first_outside = None;
    let mut placed = Vec::new();
    for point in pixels(&polygon)? {
        let (x, y) = point?;
        if let Some(outside) = outside(x, y, frame) {
            first_outside.get_or_insert(outside);
        }
        placed.push(fraction(x, y, frame)?);
    }
    let text = placed.join(",");
    // A point may round to the very edge; only what reads as pixels again is beyond it.
    let outside = first_outside.filter(|_| any_pixels(&text));
    Ok(Placed { replaced: Some(Value::Text(text)), outside })
}

/// `x,y` and whatever follows, which Frigate does not look at.
fn two_pieces(point: &str) -> Result<(&str, &str), String> {
    let mut pieces = point.split(',');
    match (pieces.next(), pieces.next()) {
        (Some(x), Some(y)) => Ok((x, y)),
        _ => Err(format!("{} is not a point x,y", quoted(point))),
    }
}

fn check_fractions(pieces: &[&str]) -> Result<(), String> {
    for piece in pieces {
        if !number(piece)?.is_finite() {
            return Err(format!("{} is not a number between 0 and 1", quoted(piece)));
        }
    }
    if pieces.len() % 2 == 1 {
        return Err(odd_count(pieces.len()));
    }
    Ok(())
}

/// The first number of a polygon of fractions that lies outside the frame.
pub(super) fn beyond_frame(coordinates: &Node) -> Option<String> {
    let outside = |text: &str| {
        text.split(',')
            .find(|piece| !python::float(piece).is_some_and(|value| (0.0..=1.0).contains(&value)))
            .map(str::to_owned)
    };
    match &coordinates.value {
        Value::Text(text) if !text.is_empty() => outside(text),
        Value::List(items) => items.iter().filter_map(Node::text).find_map(outside),
        _ => None,
    }
}

/// A fraction of the frame becomes pixels, at least one; pixels stay.
pub(super) fn place_area(area: &Value, frame: Frame) -> Result<Value, String> {
    match area {
        Value::Float(part) if (0.000_001..=0.99).contains(part) => {
            let pixels = frame.height.saturating_mul(frame.width) as f64 * part;
            Ok(Value::Int((pixels as i64).max(1)))
        }
        Value::Float(other) => Err(format!(
            "{} is a fraction of the frame, and must be between 0.000001 and 0.99; write pixels as a whole number",
            python::float_text(*other)
        )),
        pixels => Ok(pixels.clone()),
    }
}

/// A copy of `node` with another value.
pub(super) fn replaced(node: &Node, value: Value) -> Node {
    let source: Source = node.source;
    Node { value, source }
}
