//! Forecast against fact: a table for the report, and a picture of how far each stage was from its forecast.

use super::ReportError;
use super::charts::{headline, subline};
use super::sheet::{AMBER, Align, BLUE, GREEN, GRID, INK, MUTED, Sheet, TICK, Type, picture};
use plotters::style::Color;

const WIDTH: usize = 960;
/// The chart shows at most this many stages, the newest.
const MOST_ROWS: usize = 16;
/// A forecast is good when the fact lies within this share of it.
const GOOD: f64 = 0.2;
/// The chart's axis ends at this share below and above the forecast.
const AXIS: f64 = 0.6;

/// One stage's forecast beside what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTimeLine {
    /// The loop's number.
    pub loop_number: u32,
    /// The stage's name.
    pub stage: String,
    /// Seconds expected, most likely.
    pub forecast_s: f64,
    /// Seconds expected at least …
    pub low_s: f64,
    /// … and at most.
    pub high_s: f64,
    /// Seconds it took; none when it was interrupted, cut or is under way.
    pub took_s: Option<f64>,
}

impl StageTimeLine {
    fn deviation(&self) -> Option<f64> {
        let took = self.took_s?;
        (self.forecast_s > 0.0 && took.is_finite()).then(|| took / self.forecast_s - 1.0)
    }
}

/// How many of the stages that ended lay within ±20 % of their forecast, and how many ended.
pub fn hits(lines: &[StageTimeLine]) -> (usize, usize) {
    let measured: Vec<f64> = lines.iter().filter_map(StageTimeLine::deviation).collect();
    (measured.iter().filter(|deviation| deviation.abs() <= GOOD).count(), measured.len())
}

/// A Markdown table, one stage a line.
pub(super) fn times_table(lines: &[StageTimeLine]) -> String {
    let mut text =
        String::from("| loop | stage | forecast, s | interval, s | took, s | off by |\n|--:|:--|--:|:--|--:|--:|\n");
    for line in lines {
        let took = line.took_s.map_or("–".to_owned(), |took| format!("{took:.1}"));
        let off = line.deviation().map_or("–".to_owned(), |deviation| format!("{:+.0} %", 100.0 * deviation));
        text += &format!(
            "| {} | {} | {:.1} | {:.1}–{:.1} | {took} | {off} |\n",
            line.loop_number, line.stage, line.forecast_s, line.low_s, line.high_s
        );
    }
    text
}

/// How far each stage lay from its forecast: the forecast's interval as a band, the fact as a point. PNG, 960 wide.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn times_chart(lines: &[StageTimeLine]) -> Result<Vec<u8>, ReportError> {
    let measured: Vec<&StageTimeLine> = lines.iter().filter(|line| line.deviation().is_some()).collect();
    let shown = &measured[measured.len().saturating_sub(MOST_ROWS)..];
    let row_px = 46.0;
    let height = 200 + (shown.len().max(3) as f32 * row_px) as usize + 70;
    picture(WIDTH, height, |sheet| {
        headline(sheet, "Forecast against fact")?;
        let (good, all) = hits(lines);
        let said = match all {
            0 => "no stage with a forecast has ended yet".to_owned(),
            all => format!("{good} of {all} stages took what was forecast, ±20 %"),
        };
        subline(sheet, &said)?;
        let (top, bottom) = (150.0, 160.0 + shown.len().max(3) as f32 * row_px);
        axis(sheet, top, bottom)?;
        for (i, line) in shown.iter().enumerate() {
            row(sheet, 160.0 + (i as f32 + 0.5) * row_px, line)?;
        }
        sheet.text((place(0.0), bottom + 78.0), Align::Centre, TICK, "time taken, against the forecast")
    })
}

/// Where a deviation stands on the sheet, held within the axis.
fn place(deviation: f64) -> f32 {
    let share = ((deviation / AXIS).clamp(-1.0, 1.0) + 1.0) / 2.0;
    300.0 + 600.0 * share as f32
}

fn axis(sheet: &Sheet, top: f32, bottom: f32) -> Result<(), ReportError> {
    sheet.rect((place(-GOOD), top), (place(GOOD), bottom), GREEN.mix(0.12))?;
    for percent in [-60, -40, -20, 0, 20, 40, 60] {
        let x = place(f64::from(percent) / 100.0);
        let colour = if percent == 0 { MUTED } else { GRID };
        sheet.rect((x - 1.0, top), (x + 1.0, bottom), colour)?;
        let label = if percent == 0 { "as forecast".to_owned() } else { format!("{percent:+} %").replace('-', "−") };
        let small = Type { size_px: 22.0, ..TICK };
        sheet.text((x, bottom + 28.0), Align::Centre, small, &label)?;
    }
    Ok(())
}

fn row(sheet: &Sheet, y: f32, line: &StageTimeLine) -> Result<(), ReportError> {
    let name = Type { size_px: 26.0, bold: false, colour: INK };
    sheet.text_within((36.0, y), 200.0, name, &format!("{} {}", line.loop_number, line.stage))?;
    let Some(deviation) = line.deviation() else { return Ok(()) };
    let (low, high) = (line.low_s / line.forecast_s - 1.0, line.high_s / line.forecast_s - 1.0);
    sheet.rect((place(low), y - 7.0), (place(high), y + 7.0), BLUE.mix(0.45))?;
    let colour = if deviation.abs() <= GOOD { GREEN } else { AMBER };
    sheet.dot((place(deviation), y), 10.0, colour)?;
    let seconds = Type { size_px: 22.0, ..TICK };
    let took = line.took_s.unwrap_or_default();
    // Beside the point, on the side with more room.
    let (x, align) = if deviation > 0.3 { (-18.0, Align::Right) } else { (18.0, Align::Left) };
    sheet.text((place(deviation) + x, y), align, Type { colour: INK, ..seconds }, &short(took))
}

fn short(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    fn line(stage: &str, forecast_s: f64, took_s: Option<f64>) -> StageTimeLine {
        let (low_s, high_s) = (0.8 * forecast_s, 1.2 * forecast_s);
        StageTimeLine { loop_number: 1, stage: stage.to_owned(), forecast_s, low_s, high_s, took_s }
    }

    #[test]
    fn the_table_says_how_far_off_each_stage_was() {
        let lines = [line("generate", 28.0, Some(25.2)), line("train", 200.0, None)];
        assert_eq!(
            times_table(&lines).lines().skip(2).collect::<Vec<_>>(),
            ["| 1 | generate | 28.0 | 22.4–33.6 | 25.2 | -10 % |", "| 1 | train | 200.0 | 160.0–240.0 | – | – |"]
        );
        assert_eq!(hits(&[line("a", 10.0, Some(12.0)), line("b", 10.0, Some(12.1)), line("c", 10.0, None)]), (1, 2));
    }

    #[test]
    fn the_chart_is_a_picture_also_without_data_and_far_off() {
        let far: Vec<_> = (0..40).map(|i| line("evaluate", 10.0, Some(f64::from(i)))).collect();
        for lines in [&[][..], &[line("train", 0.0, Some(1.0))], &far] {
            let (rgb, width, _) = decode_png(&times_chart(lines).unwrap()).unwrap();
            assert_eq!(width, WIDTH);
            assert!(rgb.iter().any(|&byte| byte > 0xa0), "nothing is drawn");
        }
    }
}
