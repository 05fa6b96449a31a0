//! Success over loops, training, and why it failed: three pictures for a chat.
//!
//! A success rate is never drawn without its 95 % interval. A chart without data says so instead of failing.

use super::ReportError;
use super::axes::{Plot, round_ticks, short_count};
use super::sheet::{AMBER, Align, BLUE, GREEN, HEADLINE, INK, MUTED, RED, SUBLINE, Sheet, TICK, Type, picture};
use crate::base::Proportion;
use plotters::style::Color;

const WIDTH: usize = 960;
/// A success chart shows at most this many loops, the newest.
const MAX_LOOPS: usize = 60;
/// A training chart draws at most about this many losses.
const MAX_LOSSES: usize = 600;
/// A training chart shows at most this many canaries, the newest.
const MAX_CANARIES: usize = 60;
/// A failure chart shows at most this many classes; the rest is summed up.
const MAX_CLASSES: usize = 7;

/// The closed-loop success of one loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessPoint {
    /// The loop's number.
    pub loop_number: u32,
    /// Scenes solved.
    pub success: Proportion,
}

/// Success over loops with 95 % intervals, and the target (a share, 0 to 1) as a dashed line. PNG, 960×540.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn success_chart(points: &[SuccessPoint], target: Option<f64>) -> Result<Vec<u8>, ReportError> {
    picture(WIDTH, 540, |sheet| {
        headline(sheet, "Closed-loop success")?;
        let shown = &points[points.len().saturating_sub(MAX_LOOPS)..];
        let last = (shown.len().max(1) - 1) as f64;
        let plot = Plot { left: 130.0, right: 925.0, top: 150.0, bottom: 455.0, x: (-0.5, last + 0.5), y: (0.0, 1.0) };
        plot.percent_levels(sheet)?;
        draw_target(sheet, &plot, target)?;
        let Some(newest) = shown.iter().rev().find(|p| p.success.trials > 0) else {
            return empty(sheet, &plot, "no loop has been evaluated yet");
        };
        subline(sheet, &format!("loop {}: {}", newest.loop_number, newest.success))?;
        let measured: Vec<(f64, &SuccessPoint)> =
            shown.iter().enumerate().filter(|(_, p)| p.success.trials > 0).map(|(i, p)| (i as f64, p)).collect();
        let rates: Vec<(f64, f64)> = measured.iter().map(|(x, p)| (*x, p.success.rate())).collect();
        plot.join(sheet, &rates, BLUE)?;
        for (x, point) in &measured {
            plot.proportion(sheet, *x, point.success, (shown.len(), std::ptr::eq(*point, newest)))?;
        }
        let every = shown.len().div_ceil(12);
        for (i, point) in shown.iter().enumerate().filter(|(i, _)| (shown.len() - 1 - i).is_multiple_of(every)) {
            let (x, _) = plot.at(i as f64, 0.0);
            sheet.text((x, 488.0), Align::Centre, TICK, &point.loop_number.to_string())?;
        }
        sheet.text((112.0, 488.0), Align::Right, TICK, "loop")
    })
}

fn draw_target(sheet: &Sheet, plot: &Plot, target: Option<f64>) -> Result<(), ReportError> {
    let Some(target) = target.filter(|t| t.is_finite()) else { return Ok(()) };
    let (_, y) = plot.at(0.0, target);
    sheet.dashes(y, plot.left, plot.right, GREEN)?;
    let label = format!("target {:.0} %", 100.0 * target.clamp(0.0, 1.0));
    let look = Type { colour: GREEN, ..TICK };
    // Below the line where there is no room above it.
    let place = if y - plot.top > 40.0 { y - 20.0 } else { y + 22.0 };
    sheet.text((plot.left + 10.0, place), Align::Left, look, &label)
}

/// The loss at one moment of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossPoint {
    /// Training samples seen so far.
    pub samples: u64,
    /// Training loss.
    pub loss: f64,
}

/// A closed-loop trial in the middle of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryPoint {
    /// Training samples seen so far.
    pub samples: u64,
    /// Scenes solved.
    pub success: Proportion,
}

/// Loss above, canary rollouts below, over training samples. PNG, 960×780.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn training_chart(losses: &[LossPoint], canaries: &[CanaryPoint]) -> Result<Vec<u8>, ReportError> {
    picture(WIDTH, 780, |sheet| {
        headline(sheet, "Training")?;
        let most = losses.iter().map(|p| p.samples).chain(canaries.iter().map(|p| p.samples)).max().unwrap_or(0);
        let x = (0.0, most.max(1) as f64 * 1.02);
        let upper = Plot { left: 130.0, right: 925.0, top: 160.0, bottom: 370.0, x, y: (0.0, 1.0) };
        let finite: Vec<LossPoint> = losses.iter().copied().filter(|p| p.loss.is_finite()).collect();
        let broken = losses.len() - finite.len();
        match finite.last() {
            Some(last) => {
                let warning = if broken > 0 { format!(" · {broken} values were not numbers") } else { String::new() };
                subline(
                    sheet,
                    &format!("loss {:.4} after {} samples{warning}", last.loss, short_count(last.samples as f64)),
                )?;
                draw_losses(sheet, upper, &finite)?;
            }
            None => empty(sheet, &upper, "no training step yet")?,
        }
        let lower = Plot { top: 455.0, bottom: 665.0, y: (0.0, 1.0), ..upper };
        sheet.text((lower.left, 415.0), Align::Left, SUBLINE, "canary rollouts, 95 % interval")?;
        lower.percent_levels(sheet)?;
        let shown = &canaries[canaries.len().saturating_sub(MAX_CANARIES)..];
        let rates: Vec<(f64, f64)> = shown.iter().map(|p| (p.samples as f64, p.success.rate())).collect();
        lower.join(sheet, &rates, BLUE)?;
        for (i, point) in shown.iter().enumerate() {
            lower.proportion(sheet, point.samples as f64, point.success, (shown.len(), i + 1 == shown.len()))?;
        }
        if shown.is_empty() {
            empty(sheet, &lower, "no canary rollout yet")?;
        }
        for tick in round_ticks(x.0, x.1, 6) {
            let (px, _) = lower.at(tick, 0.0);
            sheet.text((px, 700.0), Align::Centre, TICK, &short_count(tick))?;
        }
        sheet.text((0.5 * (lower.left + lower.right), 744.0), Align::Centre, TICK, "training samples")
    })
}

/// Losses fall by orders of magnitude: when the largest is 10 times the smallest, the axis counts them.
fn draw_losses(sheet: &Sheet, plot: Plot, losses: &[LossPoint]) -> Result<(), ReportError> {
    let (low, high) = losses.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.loss), h.max(p.loss)));
    let by_magnitude = low > 0.0 && high / low >= 10.0;
    let place = |loss: f64| if by_magnitude { loss.log10() } else { loss };
    let plot = if by_magnitude {
        Plot { y: (place(low) - 0.05, place(high) + 0.05), ..plot }
    } else {
        Plot { y: (low.min(0.0), high.max(low.min(0.0) + 1e-9) * 1.05), ..plot }
    };
    let levels = if by_magnitude { magnitudes(low, high) } else { round_ticks(plot.y.0, plot.y.1, 4) };
    for level in levels {
        plot.level(sheet, place(level), &label(level))?;
    }
    let every = losses.len().div_ceil(MAX_LOSSES);
    let mut line: Vec<(f64, f64)> = losses.iter().step_by(every).map(|p| (p.samples as f64, place(p.loss))).collect();
    line.extend(losses.last().map(|p| (p.samples as f64, place(p.loss))));
    plot.join(sheet, &line, AMBER)
}

/// The numbers 1, 2 and 5 times a power of ten between two positive ones; powers alone when there are many.
fn magnitudes(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let of = |mantissas: &[i32]| -> Vec<f64> {
        let each = (first..=last).flat_map(|p| mantissas.iter().map(move |m| (p, *m)));
        each.filter_map(|(p, m)| format!("{m}e{p}").parse::<f64>().ok()).filter(|v| (low..=high).contains(v)).collect()
    };
    let fine = of(&[1, 2, 5]);
    if fine.len() <= 6 { fine } else { of(&[1]) }
}

/// A level without the digits that binary fractions add: `0.6`, not `0.6000000000000001`.
fn label(level: f64) -> String {
    format!("{}", (level * 1e6).round() / 1e6)
}

/// How often rollouts failed in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCount {
    /// The class's name.
    pub class: String,
    /// Rollouts that failed so.
    pub count: u32,
}

/// Horizontal bars, the most frequent first; classes beyond the first seven are summed up. PNG, 960 wide.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn failure_chart(counts: &[FailureCount]) -> Result<Vec<u8>, ReportError> {
    let total: u64 = counts.iter().map(|c| u64::from(c.count)).sum();
    let bars = largest_first(counts);
    let row_px = 62.0;
    let height = 160 + (bars.len().max(3) as f32 * row_px) as usize + 20;
    picture(WIDTH, height, |sheet| {
        headline(sheet, "Why it failed")?;
        let Some(longest) = bars.iter().map(|(_, count)| *count).max() else {
            let plot = Plot {
                left: 36.0,
                right: 925.0,
                top: 130.0,
                bottom: height as f32 - 30.0,
                x: (0.0, 1.0),
                y: (0.0, 1.0),
            };
            return empty(sheet, &plot, "no failed rollout");
        };
        subline(sheet, &if total == 1 { "1 failed rollout".to_owned() } else { format!("{total} failed rollouts") })?;
        for (i, (class, count)) in bars.iter().enumerate() {
            let middle = 160.0 + (i as f32 + 0.5) * row_px;
            let name = Type { size_px: 30.0, bold: false, colour: INK };
            sheet.text_within((36.0, middle), 330.0, name, &class.replace('_', " "))?;
            let end = 385.0 + 400.0 * (*count as f32 / longest as f32);
            let colour = if i == 0 { RED.mix(1.0) } else { RED.mix(0.6) };
            sheet.rect((385.0, middle - 19.0), (end, middle + 19.0), colour)?;
            let label = format!("{count} · {:.0} %", 100.0 * *count as f64 / total as f64);
            sheet.text((end + 14.0, middle), Align::Left, Type { bold: true, ..TICK }, &label)?;
        }
        Ok(())
    })
}

/// Classes that occurred, the most frequent first and by name where equal, at most seven and the rest.
pub(super) fn largest_first(counts: &[FailureCount]) -> Vec<(String, u64)> {
    let mut bars: Vec<(String, u64)> =
        counts.iter().filter(|c| c.count > 0).map(|c| (c.class.clone(), u64::from(c.count))).collect();
    bars.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if bars.len() > MAX_CLASSES {
        let rest: u64 = bars.split_off(MAX_CLASSES).iter().map(|(_, count)| count).sum();
        bars.push(("all others".to_owned(), rest));
    }
    bars
}

pub(super) fn headline(sheet: &Sheet, text: &str) -> Result<(), ReportError> {
    sheet.text((36.0, 48.0), Align::Left, HEADLINE, text)
}

pub(super) fn subline(sheet: &Sheet, text: &str) -> Result<(), ReportError> {
    sheet.text_within((36.0, 101.0), WIDTH as f32 - 72.0, SUBLINE, text)
}

fn empty(sheet: &Sheet, plot: &Plot, text: &str) -> Result<(), ReportError> {
    let middle = (0.5 * (plot.left + plot.right), 0.5 * (plot.top + plot.bottom));
    let look = Type { size_px: 34.0, bold: false, colour: MUTED };
    let half = 0.5 * sheet.text_width(look, text)? + 20.0;
    let ground = super::sheet::BACKGROUND;
    sheet.rect((middle.0 - half, middle.1 - 28.0), (middle.0 + half, middle.1 + 28.0), ground)?;
    sheet.text(middle, Align::Centre, look, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    fn points(rates: &[(u32, u32)]) -> Vec<SuccessPoint> {
        let numbered = rates.iter().zip(1..);
        numbered.map(|(&(k, n), loop_number)| SuccessPoint { loop_number, success: Proportion::new(k, n) }).collect()
    }

    fn failures(counts: &[(&str, u32)]) -> Vec<FailureCount> {
        counts.iter().map(|&(class, count)| FailureCount { class: class.to_owned(), count }).collect()
    }

    #[test]
    fn every_chart_is_a_picture_also_without_data() {
        let many = vec![(3, 10); 300];
        let infinite = [LossPoint { samples: 1, loss: f64::NAN }, LossPoint { samples: 2, loss: f64::INFINITY }];
        for png in [
            success_chart(&[], None),
            success_chart(&points(&[(0, 0)]), Some(0.9)),
            success_chart(&points(&many), Some(f64::NAN)),
            training_chart(&[], &[]),
            training_chart(&infinite, &[]),
            training_chart(&[LossPoint { samples: 0, loss: -1.0 }], &[]),
            failure_chart(&[]),
            failure_chart(&failures(&[("a", 0)])),
        ] {
            let (rgb, width, _) = decode_png(&png.unwrap()).unwrap();
            assert_eq!(width, WIDTH);
            assert!(rgb.iter().any(|&byte| byte > 0xa0), "nothing is drawn");
        }
    }

    #[test]
    fn the_same_numbers_give_the_same_bytes() {
        let draw = || success_chart(&points(&[(10, 50), (40, 50)]), Some(0.9)).unwrap();
        assert_eq!(draw(), draw());
    }

    #[test]
    fn levels_are_written_as_people_would() {
        assert_eq!(label(0.2 + 0.4), "0.6");
        assert_eq!(label(0.0), "0");
        assert_eq!(label(0.05), "0.05");
    }

    #[test]
    fn rare_classes_are_summed_up_and_ties_are_ordered() {
        let counts = failures(&[
            ("b", 5),
            ("a", 5),
            ("c", 9),
            ("d", 0),
            ("e", 1),
            ("f", 1),
            ("g", 1),
            ("h", 1),
            ("i", 1),
            ("j", 2),
        ]);
        let bars = largest_first(&counts);
        let shown: Vec<String> = bars.iter().map(|(class, count)| format!("{class} {count}")).collect();
        assert_eq!(shown, ["c 9", "a 5", "b 5", "j 2", "e 1", "f 1", "g 1", "all others 2"]);
    }

    #[test]
    fn magnitudes_are_written_plainly() {
        let shown: Vec<String> = magnitudes(0.004, 0.3).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]);
    }
}
