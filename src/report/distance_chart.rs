//! How far groups of states lie from the training data: a band from the lowest to the highest tenth, its middle marked.

use super::ReportError;
use super::axes::{Plot, round_ticks};
use super::charts::{headline, subline};
use super::sheet::{AMBER, Align, BLUE, GRID, INK, MUTED, RED, Sheet, TICK, Type, picture};
use plotters::style::Color;

const WIDTH: usize = 960;
/// Height without groups, and what each group adds.
const HEIGHT: (usize, usize) = (250, 110);
const TOP: f32 = 150.0;

/// One group of states.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceGroup {
    /// What the states are of.
    pub name: String,
    /// States measured.
    pub states: u32,
    /// A tenth, half and nine tenths of them are nearer than this.
    pub nearer_than: (f32, f32, f32),
    /// Share of them off the data, in [0, 1].
    pub off_data: f64,
}

/// The groups from top to bottom. PNG, 960 pixels wide.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn distance_chart(groups: &[DistanceGroup]) -> Result<Vec<u8>, ReportError> {
    let height = HEIGHT.0 + HEIGHT.1 * groups.len().max(1);
    let most = groups.iter().map(|group| group.nearer_than.2).filter(|value| value.is_finite()).fold(0.0, f32::max);
    let plot = Plot {
        left: 60.0,
        right: WIDTH as f32 - 60.0,
        top: TOP,
        bottom: height as f32 - 90.0,
        x: (0.0, f64::from(most.max(0.1)) * 1.05),
        y: (0.0, 1.0),
    };
    picture(WIDTH, height, |sheet| {
        headline(sheet, "How far from the training data")?;
        subline(sheet, "distance to the nearest training state, in deviations")?;
        for tick in round_ticks(plot.x.0, plot.x.1, 6) {
            let (x, bottom) = plot.at(tick, 0.0);
            sheet.rect((x - 1.0, plot.top), (x + 1.0, bottom), GRID)?;
            sheet.text((x, bottom + 34.0), Align::Centre, TICK, &format!("{tick}"))?;
        }
        if groups.is_empty() {
            let look = Type { size_px: 34.0, bold: false, colour: MUTED };
            return sheet.text((WIDTH as f32 / 2.0, TOP + 50.0), Align::Centre, look, "nothing was measured");
        }
        groups.iter().enumerate().try_for_each(|(index, group)| draw_group(sheet, &plot, index, group))
    })
}

fn draw_group(sheet: &Sheet, plot: &Plot, index: usize, group: &DistanceGroup) -> Result<(), ReportError> {
    let y = TOP + HEIGHT.1 as f32 * index as f32;
    let colour = [BLUE, AMBER, RED][index.min(2)];
    let label = Type { size_px: 27.0, bold: false, colour: INK };
    let off = format!("{:.0} % off the data", 100.0 * group.off_data);
    sheet.text_within((plot.left, y + 24.0), 560.0, label, &format!("{} ({})", group.name, group.states))?;
    sheet.text((plot.right, y + 24.0), Align::Right, Type { colour, ..label }, &off)?;
    let at = |value: f32| plot.at(f64::from(value), 0.0).0;
    let (low, median, high) = group.nearer_than;
    sheet.rect((at(low), y + 50.0), (at(high).max(at(low) + 3.0), y + 78.0), colour.mix(0.55))?;
    sheet.rect((at(median) - 4.0, y + 44.0), (at(median) + 4.0, y + 84.0), colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    #[test]
    fn groups_are_drawn_and_none_is_said() {
        let group = |name: &str, median, off_data| DistanceGroup {
            name: name.to_owned(),
            states: 100,
            nearer_than: (0.5 * median, median, 2.0 * median),
            off_data,
        };
        let groups = [group("training data", 0.4, 0.01), group("solved", 0.5, 0.02), group("failed", 1.4, 0.4)];
        let (_, width, height) = decode_png(&distance_chart(&groups).unwrap()).unwrap();
        assert_eq!((width, height), (WIDTH, 580));
        for groups in [vec![], vec![group("nan", f32::NAN, f64::NAN)]] {
            assert!(decode_png(&distance_chart(&groups).unwrap()).is_ok());
        }
    }
}
