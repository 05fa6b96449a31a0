//! What each loop or day cost, stacked by who spent it. PNG for a chat.

use super::ReportError;
use super::axes::{Plot, round_ticks};
use super::charts::{headline, subline};
use super::sheet::{AMBER, Align, BLUE, GREEN, MUTED, RED, TICK, Type, picture};
use plotters::style::RGBColor;

const WIDTH: usize = 960;
/// Bars that are shown, the newest.
const MAX_BARS: usize = 24;
/// Parts with a colour of their own; the rest is summed up.
const MAX_PARTS: usize = 6;
const VIOLET: RGBColor = RGBColor(0xc0, 0x8c, 0xff);
const TEAL: RGBColor = RGBColor(0x4f, 0xd1, 0xd9);
const COLOURS: [RGBColor; MAX_PARTS] = [BLUE, AMBER, GREEN, RED, VIOLET, TEAL];

/// One bar: a loop or a day, with the dollars of each part in the order of the names.
#[derive(Debug, Clone, PartialEq)]
pub struct CostBar {
    /// What stands below it.
    pub label: String,
    /// US dollars of each part.
    pub usd: Vec<f64>,
}

/// Stacked bars of dollars, the newest [`MAX_BARS`], with a legend of the parts. `axis` says what a bar is: "loop".
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn cost_chart(note: &str, axis: &str, names: &[String], bars: &[CostBar]) -> Result<Vec<u8>, ReportError> {
    let (names, bars) = largest_parts(names, &bars[bars.len().saturating_sub(MAX_BARS)..]);
    let legend_rows = names.len().div_ceil(2).max(1);
    let height = 540 + 44 * legend_rows;
    picture(WIDTH, height, |sheet| {
        headline(sheet, "What it cost")?;
        subline(sheet, note)?;
        let most = bars.iter().map(|bar| bar.usd.iter().sum::<f64>()).fold(0.0, f64::max);
        let top = if most > 0.0 { most * 1.08 } else { 1.0 };
        let x = (0.0, bars.len().max(1) as f64);
        let plot = Plot { left: 150.0, right: 925.0, top: 150.0, bottom: 455.0, x, y: (0.0, top) };
        for level in round_ticks(0.0, top, 4) {
            plot.level(sheet, level, &dollars(level))?;
        }
        if most <= 0.0 {
            let look = Type { size_px: 34.0, bold: false, colour: MUTED };
            return sheet.text((537.0, 300.0), Align::Centre, look, "nothing was spent");
        }
        let every = bars.len().div_ceil(if bars.iter().any(|bar| bar.label.len() > 4) { 6 } else { 12 });
        for (i, bar) in bars.iter().enumerate() {
            let (from, to) = (i as f64 + 0.16, i as f64 + 0.84);
            let mut below = 0.0;
            for (part, usd) in bar.usd.iter().enumerate().filter(|(_, usd)| **usd > 0.0) {
                let (left, bottom) = plot.at(from, below);
                below += usd;
                let (right, upper) = plot.at(to, below);
                sheet.rect((left, upper), (right, bottom), COLOURS[part.min(MAX_PARTS - 1)])?;
            }
            if (bars.len() - 1 - i).is_multiple_of(every) {
                let (middle, _) = plot.at(i as f64 + 0.5, 0.0);
                sheet.text((middle, 488.0), Align::Centre, TICK, &bar.label)?;
            }
        }
        sheet.text((132.0, 488.0), Align::Right, TICK, axis)?;
        for (i, name) in names.iter().enumerate() {
            let (left, y) = (150.0 + 390.0 * (i % 2) as f32, 540.0 + 44.0 * (i / 2) as f32);
            sheet.rect((left, y - 12.0), (left + 24.0, y + 12.0), COLOURS[i.min(MAX_PARTS - 1)])?;
            let sum: f64 = bars.iter().map(|bar| bar.usd[i]).sum();
            let look = Type { colour: super::sheet::INK, ..TICK };
            sheet.text_within((left + 36.0, y), 335.0, look, &format!("{name}  {}", dollars(sum)))?;
        }
        Ok(())
    })
}

/// `$12`, `$1.50`, `$0.004`: as many decimals as tell something.
fn dollars(usd: f64) -> String {
    match usd {
        0.0 => "$0".to_owned(),
        usd if usd >= 10.0 => format!("${usd:.0}"),
        usd if usd >= 0.1 => format!("${usd:.2}"),
        usd => format!("${usd:.4}"),
    }
}

/// The parts that cost most, the dearest first, and the others summed up when there are too many.
fn largest_parts(names: &[String], bars: &[CostBar]) -> (Vec<String>, Vec<CostBar>) {
    let sum = |part: usize| bars.iter().map(|bar| bar.usd.get(part).copied().unwrap_or(0.0)).sum::<f64>();
    let mut order: Vec<usize> = (0..names.len()).filter(|part| sum(*part) > 0.0).collect();
    order.sort_by(|a, b| sum(*b).total_cmp(&sum(*a)).then_with(|| names[*a].cmp(&names[*b])));
    let rest = if order.len() > MAX_PARTS { order.split_off(MAX_PARTS - 1) } else { Vec::new() };
    let of = |bar: &CostBar, part: usize| bar.usd.get(part).copied().unwrap_or(0.0);
    let mut shown: Vec<String> = order.iter().map(|part| names[*part].clone()).collect();
    if !rest.is_empty() {
        shown.push("all others".to_owned());
    }
    let bars = bars.iter().map(|bar| {
        let mut usd: Vec<f64> = order.iter().map(|part| of(bar, *part)).collect();
        if !rest.is_empty() {
            usd.push(rest.iter().map(|part| of(bar, *part)).sum());
        }
        CostBar { label: bar.label.clone(), usd }
    });
    (shown, bars.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("agent {i}")).collect()
    }

    #[test]
    fn a_chart_is_drawn_also_of_nothing_and_of_much() {
        let many: Vec<CostBar> =
            (0..90).map(|i| CostBar { label: i.to_string(), usd: vec![0.1 * f64::from(i); 9] }).collect();
        for (count, bars) in [(0, vec![]), (2, vec![CostBar { label: "1".into(), usd: vec![0.0, 0.0] }]), (9, many)] {
            let png = cost_chart("three loops", "loop", &names(count), &bars).unwrap();
            assert_eq!(decode_png(&png).unwrap().1, WIDTH);
        }
    }

    #[test]
    fn the_dearest_parts_come_first_and_the_rest_is_summed_up() {
        let bars = [CostBar { label: "1".into(), usd: vec![1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0] }];
        let (shown, bars) = largest_parts(&names(8), &bars);
        assert_eq!(shown, ["agent 1", "agent 6", "agent 5", "agent 4", "agent 3", "all others"]);
        assert_eq!(bars[0].usd, [9.0, 6.0, 5.0, 4.0, 3.0, 3.0]);
    }
}
