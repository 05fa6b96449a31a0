//! The whole course of one training: losses, held-out errors, closed-loop success, over training samples.

use super::ReportError;
use super::axes::{Plot, round_ticks, short_count};
use super::charts::{CanaryPoint, LossPoint};
use super::sheet::{AMBER, Align, BLUE, GREEN, HEADLINE, INK, MUTED, RED, SUBLINE, Sheet, TICK, Type, picture};
use plotters::style::RGBColor;

const WIDTH: usize = 1200;
const HEIGHT: usize = 1240;
/// At most about this many points of a line.
const MOST_POINTS: usize = 600;
/// Lines by name stand at the right, beside their last point.
const LABEL_ROOM: f32 = 235.0;
const LABEL: Type = Type { size_px: 25.0, bold: false, colour: MUTED };
/// Labels at the right are at least this far apart.
const LABEL_STEP: f32 = 30.0;
const VIOLET: RGBColor = RGBColor(0xc3, 0x92, 0xff);

/// A measurement on episodes that were not trained on; losses as in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HoldOutPoint {
    /// Training samples seen so far.
    pub samples: u64,
    /// Loss of the policy.
    pub loss: f64,
    /// Its loss without an image.
    pub blank_image: f64,
    /// Loss of repeating the last action.
    pub previous_action: f64,
}

/// Mean absolute errors on episodes that were not trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPoint {
    /// Training samples seen so far.
    pub samples: u64,
    /// One for each number of the action.
    pub by_action: Vec<f64>,
}

/// What there is to draw of a training.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Training loss: error of the actions.
    pub losses: Vec<LossPoint>,
    /// Training loss: weighted divergence; all zero without a variational encoder.
    pub divergences: Vec<LossPoint>,
    /// Held-out losses.
    pub held_out: Vec<HoldOutPoint>,
    /// Held-out errors.
    pub errors: Vec<ErrorPoint>,
    /// What the numbers of the action are called.
    pub action_names: Vec<String>,
    /// Closed-loop trials on the way.
    pub canaries: Vec<CanaryPoint>,
    /// When the weights that were kept had been reached.
    pub best_samples: Option<u64>,
}

/// Three plots below each other over training samples. PNG, 1200×1240.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn training_curve(curve: &Curve) -> Result<Vec<u8>, ReportError> {
    picture(WIDTH, HEIGHT, |sheet| {
        sheet.text((40.0, 55.0), Align::Left, HEADLINE, "Training")?;
        sheet.text_within((40.0, 105.0), WIDTH as f32 - 80.0, SUBLINE, &words(curve))?;
        let most = curve.losses.iter().map(|p| p.samples).chain(curve.canaries.iter().map(|p| p.samples)).max();
        let right = WIDTH as f32 - LABEL_ROOM;
        let plot = |top: f32, bottom: f32| Plot {
            left: 130.0,
            right,
            top,
            bottom,
            x: (0.0, most.unwrap_or(0).max(1) as f64),
            y: (0.0, 1.0),
        };
        losses(sheet, plot(205.0, 480.0), curve)?;
        errors(sheet, plot(585.0, 800.0), curve)?;
        canaries(sheet, plot(905.0, 1130.0), curve)
    })
}

fn words(curve: &Curve) -> String {
    let Some(last) = curve.losses.iter().rev().find(|p| p.loss.is_finite()) else {
        return "no training step yet".to_owned();
    };
    let held_out = curve.held_out.last().map_or_else(String::new, |m| format!(" · held-out {:.3}", m.loss));
    let best = curve.canaries.iter().find(|c| Some(c.samples) == curve.best_samples);
    let best = best.map_or_else(String::new, |c| {
        format!(" · kept: after {} samples, {} scenes", short_count(c.samples as f64), c.success)
    });
    format!("{} samples · loss {:.3}{held_out}{best}", short_count(last.samples as f64), last.loss)
}

/// A line by name.
struct Line {
    name: String,
    colour: RGBColor,
    width: f32,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn new(name: &str, colour: RGBColor, points: impl Iterator<Item = (u64, f64)>) -> Self {
        let points = points.filter(|(_, y)| y.is_finite()).map(|(x, y)| (x as f64, y)).collect();
        Self { name: name.to_owned(), colour, width: 4.0, points }
    }

    fn thin(self) -> Self {
        Self { width: 2.0, ..self }
    }
}

fn losses(sheet: &Sheet, plot: Plot, curve: &Curve) -> Result<(), ReportError> {
    title(sheet, &plot, "Loss", "mean absolute error of normalised actions, logarithmic")?;
    let held = |of: fn(&HoldOutPoint) -> f64| curve.held_out.iter().map(move |m| (m.samples, of(m)));
    let mut lines = vec![
        Line::new("repeat last action", MUTED, held(|m| m.previous_action)).thin(),
        Line::new("blank image", RED, held(|m| m.blank_image)).thin(),
        Line::new("training", AMBER, curve.losses.iter().map(|p| (p.samples, p.loss))),
        Line::new("held out", BLUE, held(|m| m.loss)),
    ];
    if curve.divergences.iter().any(|p| p.loss > 0.0) {
        let points = curve.divergences.iter().map(|p| (p.samples, p.loss));
        lines.push(Line::new("KL × weight", VIOLET, points));
    }
    for line in &mut lines {
        line.points.retain(|(_, y)| *y > 0.0);
        line.points.iter_mut().for_each(|(_, y)| *y = y.log10());
    }
    let level = |v: f64| label(10_f64.powf(v));
    let marks = |low: f64, high: f64| {
        (-4..=3)
            .flat_map(|p| [1.0, 2.0, 5.0].map(|m: f64| (m * 10_f64.powi(p)).log10()))
            .filter(|v| *v >= low && *v <= high)
            .collect()
    };
    draw(sheet, plot, &lines, (marks, level))
}

fn errors(sheet: &Sheet, plot: Plot, curve: &Curve) -> Result<(), ReportError> {
    title(sheet, &plot, "Held-out error", "by number of the action, in its own unit (range −1 to 1)")?;
    let colours = [BLUE, AMBER, GREEN, VIOLET, RED, MUTED];
    let lines: Vec<Line> = curve
        .action_names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let points = curve.errors.iter().filter_map(move |e| e.by_action.get(i).map(|v| (e.samples, *v)));
            Line::new(name, colours[i % colours.len()], points)
        })
        .collect();
    let plot = Plot { y: (0.0, 0.0), ..plot };
    draw(sheet, plot, &lines, (|low, high| round_ticks(low, high, 4), label))
}

/// Draws lines with levels at `scale.0(low, high)`, written by `scale.1`, and their names at the right. A plot whose
/// range is empty begins at 0.
fn draw(
    sheet: &Sheet,
    plot: Plot,
    lines: &[Line],
    scale: (impl Fn(f64, f64) -> Vec<f64>, impl Fn(f64) -> String),
) -> Result<(), ReportError> {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if low > high {
        return empty(sheet, &plot, "nothing measured yet");
    }
    let from_zero = plot.y == (0.0, 0.0);
    let room = 0.06 * (high - low).max(1e-3);
    let plot = Plot { y: (if from_zero { 0.0 } else { low - room }, high + room), ..plot };
    for level in scale.0(plot.y.0, plot.y.1) {
        plot.level(sheet, level, &scale.1(level))?;
    }
    let mut labels = Vec::new();
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let every = line.points.len().div_ceil(MOST_POINTS);
        let mut thinned: Vec<(f64, f64)> = line.points.iter().step_by(every).copied().collect();
        thinned.extend(line.points.last());
        let places: Vec<(f32, f32)> = thinned.iter().map(|&(x, y)| plot.at(x, y)).collect();
        sheet.path(&places, line.width, line.colour)?;
        if let [place] = places[..1] {
            sheet.dot(place, 0.5 * line.width, line.colour)?;
        }
        labels.extend(places.last().map(|place| (place.1, line)));
    }
    name(sheet, &plot, labels)
}

/// Writes the lines' names beside their ends, pushed apart where they would overlap.
fn name(sheet: &Sheet, plot: &Plot, mut labels: Vec<(f32, &Line)>) -> Result<(), ReportError> {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut above = f32::MIN;
    for (y, _) in &mut labels {
        *y = y.max(above + LABEL_STEP);
        above = *y;
    }
    let over = above - plot.bottom;
    let mut below = f32::MAX;
    for (y, line) in labels.iter_mut().rev() {
        *y = (*y).min(below - LABEL_STEP);
        if over > 0.0 {
            *y = y.min(plot.bottom.min(below - LABEL_STEP));
        }
        below = *y;
        let look = Type { colour: line.colour, ..LABEL };
        sheet.text((plot.right + 14.0, *y), Align::Left, look, &line.name)?;
    }
    Ok(())
}

fn canaries(sheet: &Sheet, plot: Plot, curve: &Curve) -> Result<(), ReportError> {
    title(sheet, &plot, "Closed loop", "scenes solved by snapshots, with 95 % intervals")?;
    plot.percent_levels(sheet)?;
    let rates: Vec<(f64, f64)> = curve.canaries.iter().map(|p| (p.samples as f64, p.success.rate())).collect();
    plot.join(sheet, &rates, BLUE)?;
    for point in &curve.canaries {
        let kept = Some(point.samples) == curve.best_samples;
        plot.proportion(sheet, point.samples as f64, point.success, (curve.canaries.len().max(20), kept))?;
        if kept {
            let (x, y) = plot.at(point.samples as f64, point.success.rate());
            let look = Type { colour: INK, ..LABEL };
            let end = x > plot.right - 90.0;
            let (place, align) = if end { (x - 18.0, Align::Right) } else { (x + 18.0, Align::Left) };
            sheet.text((place, (y - 16.0).max(plot.top - 8.0)), align, look, "kept")?;
        }
    }
    if curve.canaries.is_empty() {
        empty(sheet, &plot, "no canary rollout")?;
    }
    for tick in round_ticks(plot.x.0, plot.x.1, 6) {
        let (x, _) = plot.at(tick, 0.0);
        sheet.text((x, plot.bottom + 36.0), Align::Centre, TICK, &short_count(tick))?;
    }
    sheet.text((0.5 * (plot.left + plot.right), plot.bottom + 78.0), Align::Centre, TICK, "training samples")
}

fn title(sheet: &Sheet, plot: &Plot, name: &str, unit: &str) -> Result<(), ReportError> {
    let look = Type { size_px: 30.0, bold: true, colour: INK };
    let y = plot.top - 42.0;
    sheet.text((40.0, y), Align::Left, look, name)?;
    let after = 40.0 + sheet.text_width(look, name)? + 18.0;
    sheet.text((after, y), Align::Left, LABEL, unit)
}

fn empty(sheet: &Sheet, plot: &Plot, words: &str) -> Result<(), ReportError> {
    sheet.text((0.5 * (plot.left + plot.right), 0.5 * (plot.top + plot.bottom)), Align::Centre, SUBLINE, words)
}

/// Without the digits that binary fractions add.
fn label(value: f64) -> String {
    format!("{}", (value * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Proportion;

    #[test]
    fn a_whole_course_an_empty_one_and_one_that_broke_are_drawn() {
        let course = Curve {
            losses: (1..100)
                .map(|i| LossPoint { samples: i * 600, loss: if i == 50 { f64::NAN } else { 1.0 / i as f64 } })
                .collect(),
            held_out: vec![HoldOutPoint { samples: 7_500, loss: 0.3, blank_image: 0.9, previous_action: 0.5 }],
            errors: vec![ErrorPoint { samples: 7_500, by_action: vec![0.1, 0.2] }],
            action_names: vec!["steering".into(), "throttle".into()],
            canaries: vec![CanaryPoint { samples: 59_400, success: Proportion::new(3, 26) }],
            best_samples: Some(59_400),
            ..Curve::default()
        };
        for curve in [course, Curve::default()] {
            let png = training_curve(&curve).unwrap();
            assert_eq!(&png[1..4], b"PNG");
        }
    }
}
