//! Two policies on the same scenes, family by family: from the hollow dot to the full one.

use super::ReportError;
use super::axes::Plot;
use super::charts::{headline, subline};
use super::sheet::{Align, BACKGROUND, BLUE, GREEN, INK, MUTED, RED, TICK, Type, picture};
use crate::base::Proportion;

const WIDTH: usize = 960;
const TOP: f32 = 140.0;
const ROW: f32 = 54.0;
/// Families shown at most.
const MAX_FAMILIES: usize = 20;

/// One family before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyChange {
    /// The family's name for people.
    pub family: String,
    /// Scenes solved before.
    pub before: Proportion,
    /// Scenes solved after.
    pub after: Proportion,
}

/// The families from top to bottom, the first [`MAX_FAMILIES`]. `names` are those of the two policies. PNG, 960 wide.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn compare_chart(changes: &[FamilyChange], names: (&str, &str)) -> Result<Vec<u8>, ReportError> {
    let shown = &changes[..changes.len().min(MAX_FAMILIES)];
    let below = TOP + ROW * shown.len().max(1) as f32;
    let plot = Plot { left: 380.0, right: WIDTH as f32 - 60.0, top: TOP, bottom: below, x: (0.0, 1.0), y: (0.0, 1.0) };
    picture(WIDTH, below as usize + 70, |sheet| {
        headline(sheet, &format!("{} against {}", names.1, names.0))?;
        subline(sheet, &format!("same scenes; hollow {}, full {}", names.0, names.1))?;
        for percent in [0, 50, 100] {
            let (x, bottom) = plot.at(f64::from(percent) / 100.0, 0.0);
            sheet.rect((x - 1.0, TOP - 6.0), (x + 1.0, bottom), super::sheet::GRID)?;
            sheet.text((x, bottom + 30.0), Align::Centre, TICK, &format!("{percent} %"))?;
        }
        if shown.is_empty() {
            let look = Type { size_px: 30.0, bold: false, colour: MUTED };
            return sheet.text((WIDTH as f32 / 2.0, TOP + 26.0), Align::Centre, look, "no scene in common");
        }
        for (index, change) in shown.iter().enumerate() {
            let y = TOP + ROW * (index as f32 + 0.5);
            let label = Type { size_px: 26.0, bold: false, colour: INK };
            sheet.text_within((36.0, y), plot.left - 60.0, label, &change.family)?;
            let (from, to) = (plot.at(change.before.rate(), 0.0).0, plot.at(change.after.rate(), 0.0).0);
            let colour = match change.after.rate().total_cmp(&change.before.rate()) {
                std::cmp::Ordering::Greater => GREEN,
                std::cmp::Ordering::Less => RED,
                std::cmp::Ordering::Equal => BLUE,
            };
            sheet.line((from, y), (to, y), 6.0, colour)?;
            sheet.dot((from, y), 11.0, colour)?;
            sheet.dot((from, y), 7.0, BACKGROUND)?;
            sheet.dot((to, y), 11.0, colour)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    #[test]
    fn families_stand_in_rows_and_none_is_said() {
        let change = |family: &str, before, after| FamilyChange {
            family: family.to_owned(),
            before: Proportion::new(before, 10),
            after: Proportion::new(after, 10),
        };
        let changes = [change("Open floor", 4, 9), change("Brick in the corner", 6, 2), change("Two bricks", 5, 5)];
        let (_, width, height) = decode_png(&compare_chart(&changes, ("Loop 1", "Loop 2")).unwrap()).unwrap();
        assert_eq!((width, height), (WIDTH, (TOP + 3.0 * ROW) as usize + 70));
        assert!(decode_png(&compare_chart(&[], ("a", "b")).unwrap()).is_ok());
    }
}
