//! Where a value stands on the sheet, and which round numbers to write at an axis.

use super::ReportError;
use super::sheet::{Align, BLUE, GRID, Sheet, TICK};
use crate::base::Proportion;
use plotters::style::{Color, RGBColor};

/// A rectangle of the sheet and the range of values it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub left: f32,
    pub right: f32,
    pub top: f32,
    pub bottom: f32,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Plot {
    /// The sheet's place of a value, held within the plot.
    pub fn at(&self, x: f64, y: f64) -> (f32, f32) {
        let share = |v: f64, (low, high): (f64, f64)| {
            if high > low { ((v - low) / (high - low)).clamp(0.0, 1.0) as f32 } else { 0.5 }
        };
        (
            self.left + share(x, self.x) * (self.right - self.left),
            self.bottom - share(y, self.y) * (self.bottom - self.top),
        )
    }

    /// A level line with its number.
    pub fn level(&self, sheet: &Sheet, y: f64, label: &str) -> Result<(), ReportError> {
        let (_, py) = self.at(self.x.0, y);
        sheet.rect((self.left, py - 1.0), (self.right, py + 1.0), GRID)?;
        sheet.text((self.left - 16.0, py), Align::Right, TICK, label)
    }

    /// Lines at 0, 25, 50, 75 and 100 %; the values are shares.
    pub fn percent_levels(&self, sheet: &Sheet) -> Result<(), ReportError> {
        for percent in [0, 25, 50, 75, 100] {
            self.level(sheet, f64::from(percent) / 100.0, &format!("{percent} %"))?;
        }
        Ok(())
    }

    /// A success rate with its 95 % interval, one of `count` side by side; the newest is ringed.
    pub fn proportion(
        &self,
        sheet: &Sheet,
        x: f64,
        share: Proportion,
        (count, newest): (usize, bool),
    ) -> Result<(), ReportError> {
        let radius = (0.3 * (self.right - self.left) / count.max(1) as f32).clamp(3.5, 8.5);
        let (low, high) = share.wilson_95();
        let (from, to) = (self.at(x, low), self.at(x, high));
        let pale = BLUE.mix(0.75);
        sheet.line(from, to, 0.45 * radius, pale)?;
        for end in [from, to] {
            sheet.line((end.0 - radius, end.1), (end.0 + radius, end.1), 0.45 * radius, pale)?;
        }
        let centre = self.at(x, share.rate());
        if newest {
            sheet.dot(centre, radius + 3.5, super::sheet::INK)?;
        }
        sheet.dot(centre, radius, BLUE)
    }

    /// Joins the rates of the measured points.
    pub fn join(&self, sheet: &Sheet, points: &[(f64, f64)], colour: RGBColor) -> Result<(), ReportError> {
        let places: Vec<(f32, f32)> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        sheet.path(&places, 4.0, colour)
    }
}

/// At most about `count` round numbers from `low` to `high`, both included where they are round.
pub(super) fn round_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return vec![low];
    }
    let rough = span / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|k| k * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last.min(first + 50)).map(|k| k as f64 * step).collect()
}

/// `950`, `12k`, `1.5M`.
pub(super) fn short_count(value: f64) -> String {
    let trimmed = |v: f64, unit: &str| {
        let text = format!("{v:.1}");
        format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    if value >= 999_950.0 {
        trimmed(value / 1e6, "M")
    } else if value >= 1000.0 {
        trimmed(value / 1e3, "k")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(round_ticks(0.0, 140_000.0, 5), [0.0, 50_000.0, 100_000.0]);
        assert_eq!(round_ticks(0.0, 0.5, 5), [0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5]);
        assert_eq!(round_ticks(3.0, 3.0, 5), [3.0]);
        assert_eq!(round_ticks(0.0, f64::INFINITY, 5), [0.0]);
    }

    #[test]
    fn counts_are_short() {
        let shown = [0.0, 950.0, 1000.0, 12_300.0, 139_000.0, 999_999.0, 1_500_000.0].map(short_count);
        assert_eq!(shown, ["0", "950", "1k", "12.3k", "139k", "1M", "1.5M"]);
    }
}
