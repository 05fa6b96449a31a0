//! Where on the floor it failed: the arena from above, warm where failures are dense, a dot for each.
//!
//! +x points right and +z up, so that left of the loader is left on the map.

use super::ReportError;
use super::charts::{FailureCount, headline, largest_first, subline};
use super::sheet::{AMBER, Align, BLUE, GREEN, GRID, INK, MUTED, RED, Sheet, TICK, Type, picture};
use crate::sim::geometry::{BOX_CENTRE_M, BOX_HALF_M, WALL_M};
use plotters::style::{Color, RGBColor};

const WIDTH: usize = 960;
const HEIGHT: usize = 800;
/// Left, top and side of the floor on the sheet.
const FLOOR_PX: (f32, f32, f32) = (36.0, 140.0, 620.0);
const CELLS: usize = 62;
/// How far one failure warms the floor (standard deviation).
const WARMTH_M: f32 = 0.7;
/// At most this many failures are drawn, the first ones.
const MAX_POINTS: usize = 5000;
const CLASS_COLOURS: [RGBColor; 7] =
    [RED, AMBER, BLUE, GREEN, RGBColor(0xd0, 0x8c, 0xff), RGBColor(0x4d, 0xe0, 0xe0), RGBColor(0xff, 0xa6, 0xd2)];

/// One failed rollout and where it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FailurePoint {
    /// The loader's place, metres.
    pub x_m: f32,
    /// See [`x_m`](Self::x_m).
    pub z_m: f32,
    /// The failure's class.
    pub class: String,
}

/// The floor with walls and box, where it failed and in which way. PNG, 960×800.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn heat_map(points: &[FailurePoint]) -> Result<Vec<u8>, ReportError> {
    floor_map(points, "Where it failed", "at its last moment")
}

/// The same floor, but each failed rollout where it first left the expert's path. PNG, 960×800.
///
/// # Errors
///
/// [`ReportError`] when the picture cannot be drawn.
pub fn deviation_map(points: &[FailurePoint]) -> Result<Vec<u8>, ReportError> {
    floor_map(points, "Where it first went wrong", "at its first deviation")
}

fn floor_map(points: &[FailurePoint], title: &str, moment: &str) -> Result<Vec<u8>, ReportError> {
    let shown: Vec<&FailurePoint> =
        points.iter().filter(|p| p.x_m.is_finite() && p.z_m.is_finite()).take(MAX_POINTS).collect();
    let classes = largest_first(&counted(&shown));
    picture(WIDTH, HEIGHT, |sheet| {
        headline(sheet, title)?;
        let said = match shown.len() {
            0 => "no failed rollout".to_owned(),
            1 => format!("the one failed rollout, {moment}"),
            n => format!("{n} failed rollouts, each {moment}"),
        };
        subline(sheet, &said)?;
        draw_floor(sheet, &shown)?;
        for point in &shown {
            let at = place(point.x_m, point.z_m);
            sheet.dot(at, 7.0, super::sheet::BACKGROUND)?;
            sheet.dot(at, 5.0, colour_of(&classes, &point.class))?;
        }
        draw_legend(sheet, &classes)
    })
}

fn counted(points: &[&FailurePoint]) -> Vec<FailureCount> {
    let mut counts: Vec<FailureCount> = Vec::new();
    for point in points {
        match counts.iter_mut().find(|c| c.class == point.class) {
            Some(known) => known.count += 1,
            None => counts.push(FailureCount { class: point.class.clone(), count: 1 }),
        }
    }
    counts
}

fn colour_of(classes: &[(String, u64)], class: &str) -> RGBColor {
    let index = classes.iter().position(|(name, _)| name == class);
    index.and_then(|i| CLASS_COLOURS.get(i)).copied().unwrap_or(MUTED)
}

fn place(x_m: f32, z_m: f32) -> (f32, f32) {
    let (left, top, side) = FLOOR_PX;
    let share = |v: f32| (v.clamp(-WALL_M, WALL_M) + WALL_M) / (2.0 * WALL_M);
    (left + side * share(x_m), top + side * (1.0 - share(z_m)))
}

fn draw_floor(sheet: &Sheet, points: &[&FailurePoint]) -> Result<(), ReportError> {
    let (left, top, side) = FLOOR_PX;
    sheet.rect((left - 6.0, top - 6.0), (left + side + 6.0, top + side + 6.0), MUTED)?;
    let warmth = warmth(points);
    let hottest = warmth.iter().copied().fold(0.0, f32::max);
    let cell = side / CELLS as f32;
    for (i, heat) in warmth.iter().enumerate() {
        let (column, row) = ((i % CELLS) as f32, (i / CELLS) as f32);
        let from = (left + column * cell, top + row * cell);
        // A lone failure must still be seen beside a crowd.
        let share = if hottest > 0.0 { (heat / hottest).powf(0.65) } else { 0.0 };
        sheet.rect(from, (from.0 + cell, from.1 + cell), warm(share))?;
    }
    for metre in (-6..=6).step_by(2) {
        let (x, y) = place(metre as f32, metre as f32);
        sheet.rect((x - 0.5, top), (x + 0.5, top + side), GRID)?;
        sheet.rect((left, y - 0.5), (left + side, y + 0.5), GRID)?;
    }
    let corner = |dx: f32, dz: f32| place(BOX_CENTRE_M + dx * BOX_HALF_M, BOX_CENTRE_M + dz * BOX_HALF_M);
    let corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0), corner(-1.0, -1.0)];
    sheet.polygon(&corners[..4], RGBColor(150, 112, 74).mix(0.55))?;
    sheet.path(&corners, 4.0, RGBColor(232, 222, 204))?;
    let middle = place(BOX_CENTRE_M, BOX_CENTRE_M);
    sheet.text(middle, Align::Centre, Type { size_px: 24.0, bold: true, colour: INK }, "box")
}

/// The density of failures in every cell, from the upper left, without a unit.
fn warmth(points: &[&FailurePoint]) -> Vec<f32> {
    let size_m = 2.0 * WALL_M / CELLS as f32;
    let mut cells = vec![0.0; CELLS * CELLS];
    // Farther than this a failure is not felt.
    let reach = (3.0 * WARMTH_M / size_m).ceil() as i32;
    for point in points {
        let column = (point.x_m + WALL_M) / size_m - 0.5;
        let row = (WALL_M - point.z_m) / size_m - 0.5;
        let (near_column, near_row) = (column.round() as i32, row.round() as i32);
        for r in near_row.saturating_sub(reach).max(0)..=near_row.saturating_add(reach).min(CELLS as i32 - 1) {
            for c in near_column.saturating_sub(reach).max(0)..=near_column.saturating_add(reach).min(CELLS as i32 - 1)
            {
                let (dx, dz) = ((c as f32 - column) * size_m, (r as f32 - row) * size_m);
                cells[r as usize * CELLS + c as usize] += (-(dx * dx + dz * dz) / (2.0 * WARMTH_M * WARMTH_M)).exp();
            }
        }
    }
    cells
}

/// From the floor's grey over violet and red to yellow.
fn warm(share: f32) -> RGBColor {
    const STOPS: [[f32; 3]; 5] =
        [[46.0, 48.0, 54.0], [78.0, 42.0, 96.0], [168.0, 44.0, 92.0], [232.0, 92.0, 56.0], [250.0, 196.0, 72.0]];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let i = (at as usize).min(STOPS.len() - 2);
    let t = at - i as f32;
    let [r, g, b] = [0, 1, 2].map(|k| (STOPS[i][k] + (STOPS[i + 1][k] - STOPS[i][k]) * t).round() as u8);
    RGBColor(r, g, b)
}

fn draw_legend(sheet: &Sheet, classes: &[(String, u64)]) -> Result<(), ReportError> {
    let left = FLOOR_PX.0 + FLOOR_PX.2 + 34.0;
    for (i, (class, count)) in classes.iter().enumerate() {
        let y = FLOOR_PX.1 + 24.0 + 74.0 * i as f32;
        sheet.dot((left + 8.0, y), 9.0, colour_of(classes, class))?;
        sheet.text_within(
            (left + 28.0, y),
            WIDTH as f32 - left - 44.0,
            Type { size_px: 26.0, bold: false, colour: INK },
            class,
        )?;
        sheet.text((left + 28.0, y + 33.0), Align::Left, TICK, &count.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    fn failure(x_m: f32, z_m: f32, class: &str) -> FailurePoint {
        FailurePoint { x_m, z_m, class: class.to_owned() }
    }

    #[test]
    fn left_on_the_map_is_low_x_and_up_is_high_z() {
        let ((x, y), (_, _, side)) = (place(-8.0, 8.0), FLOOR_PX);
        assert_eq!((x, y), (FLOOR_PX.0, FLOOR_PX.1));
        assert_eq!(place(99.0, -99.0), (FLOOR_PX.0 + side, FLOOR_PX.1 + side));
    }

    #[test]
    fn the_floor_is_warmest_where_failures_are_dense() {
        let points = [failure(4.0, 4.0, "a"), failure(4.1, 4.0, "a"), failure(-4.0, -4.0, "b")];
        let cells = warmth(&points.iter().collect::<Vec<_>>());
        let hottest = (0..cells.len()).max_by(|&a, &b| cells[a].total_cmp(&cells[b])).unwrap();
        let (column, row) = (hottest % CELLS, hottest / CELLS);
        assert!(column > CELLS / 2 && row < CELLS / 2, "column {column}, row {row}");
    }

    #[test]
    fn an_empty_map_and_points_that_are_no_numbers_are_drawn() {
        for points in [vec![], vec![failure(f32::NAN, 0.0, "a"), failure(1e30, -1e30, "b")]] {
            let (_, width, height) = decode_png(&heat_map(&points).unwrap()).unwrap();
            assert_eq!((width, height), (WIDTH, HEIGHT));
        }
    }
}
