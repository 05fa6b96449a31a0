//! One episode as a picture: key frames on top, who acted and the phase as bands, one lane for each number below.

use super::ReportError;
use super::axes::round_ticks;
use super::sheet::{AMBER, Align, BLUE, GREEN, GRID, HEADLINE, INK, MUTED, RED, SUBLINE, Sheet, Type, picture};
use plotters::style::RGBColor;

const WIDTH: usize = 1280;
const LEFT: f32 = 190.0;
const RIGHT: f32 = 1190.0;
/// Height of a lane, and of a band.
const LANE: f32 = 46.0;
const BAND: f32 = 26.0;
const SMALL: Type = Type { size_px: 20.0, bold: false, colour: MUTED };
const NAME: Type = Type { size_px: 20.0, bold: false, colour: INK };
/// Lanes drawn at most; the rest is named.
const MAX_LANES: usize = 24;

/// A group of lanes: its name, the numbers' names, one row of numbers per frame.
pub type LaneGroup<'a> = (&'a str, &'a [String], &'a [Vec<f32>]);

/// What is drawn.
#[derive(Debug, Clone)]
pub struct EpisodeSheet<'a> {
    /// The headline.
    pub headline: String,
    /// The line below it.
    pub subline: String,
    /// Frames per second.
    pub fps: u32,
    /// Width and height of a key frame.
    pub size: (usize, usize),
    /// Frame numbers and RGB bytes.
    pub key_frames: Vec<(usize, &'a [u8])>,
    /// Groups of lanes.
    pub groups: Vec<LaneGroup<'a>>,
    /// The phase of each frame; may be empty.
    pub phases: Vec<&'a str>,
    /// Who acted in each frame; may be empty.
    pub actors: Vec<&'a str>,
}

/// Draws the sheet. PNG, 1280 pixels wide.
///
/// # Errors
/// [`ReportError`] when the picture cannot be drawn.
pub fn episode_sheet(view: &EpisodeSheet<'_>) -> Result<Vec<u8>, ReportError> {
    let frames = view.groups.iter().map(|(_, _, rows)| rows.len()).max().unwrap_or(0);
    let count = view.key_frames.len().max(1) as f32;
    let thumb_width = ((RIGHT - LEFT) - 10.0 * (count - 1.0)) / count;
    let thumb_height = thumb_width * view.size.1 as f32 / view.size.0.max(1) as f32;
    let bands = [("actor", &view.actors), ("phase", &view.phases)].map(|(name, list)| (name, list.as_slice()));
    let bands: Vec<_> = bands.into_iter().filter(|(_, list)| !list.is_empty()).collect();
    let lanes: usize = view.groups.iter().map(|(_, names, _)| names.len()).sum::<usize>().min(MAX_LANES);
    let below = 150.0 + thumb_height + 40.0 + bands.len() as f32 * (BAND + 8.0);
    let height = below + lanes as f32 * LANE + view.groups.len() as f32 * 14.0 + 60.0;
    picture(WIDTH, height as usize, |sheet| {
        sheet.text_within((40.0, 46.0), 1200.0, HEADLINE, &view.headline)?;
        sheet.text_within((40.0, 98.0), 1200.0, SUBLINE, &view.subline)?;
        let x_of = |frame: usize| LEFT + (RIGHT - LEFT) * frame as f32 / frames.saturating_sub(1).max(1) as f32;
        let mut left = LEFT;
        for (frame, rgb) in &view.key_frames {
            sheet.image((left, 140.0), (thumb_width, thumb_height), view.size, rgb)?;
            let label = format!("{:.1} s", *frame as f64 / f64::from(view.fps.max(1)));
            sheet.text((left + 0.5 * thumb_width, 140.0 + thumb_height + 16.0), Align::Centre, SMALL, &label)?;
            left += thumb_width + 10.0;
        }
        let mut top = 140.0 + thumb_height + 40.0;
        for (name, list) in &bands {
            sheet.text((LEFT - 14.0, top + 0.5 * BAND), Align::Right, NAME, name)?;
            draw_band(sheet, top, list, &x_of)?;
            top += BAND + 8.0;
        }
        let mut left_lanes = MAX_LANES;
        let first_lane = top;
        for (group, names, rows) in &view.groups {
            top += 14.0;
            for (at, name) in names.iter().enumerate().take(left_lanes) {
                let colour = if *group == "action" { AMBER } else { BLUE };
                let values: Vec<f32> = rows.iter().filter_map(|row| row.get(at).copied()).collect();
                draw_lane(sheet, top, name, &values, colour, &x_of)?;
                top += LANE;
            }
            left_lanes = left_lanes.saturating_sub(names.len());
        }
        for (frame, _) in &view.key_frames {
            let x = x_of(*frame);
            sheet.rect((x - 0.5, first_lane), (x + 0.5, top), GRID)?;
        }
        draw_seconds(sheet, top + 22.0, frames, view.fps)
    })
}

fn draw_seconds(sheet: &Sheet, y: f32, frames: usize, fps: u32) -> Result<(), ReportError> {
    let last_s = frames.saturating_sub(1) as f64 / f64::from(fps.max(1));
    for second in round_ticks(0.0, last_s, 10) {
        let x = LEFT + (RIGHT - LEFT) * if last_s > 0.0 { (second / last_s) as f32 } else { 0.0 };
        sheet.text((x, y), Align::Centre, SMALL, &format!("{second} s"))?;
    }
    Ok(())
}

/// Runs of equal names as coloured stretches, each named where there is room.
fn draw_band(sheet: &Sheet, top: f32, names: &[&str], x_of: &dyn Fn(usize) -> f32) -> Result<(), ReportError> {
    let mut begin = 0;
    while begin < names.len() {
        let end = (begin..names.len()).find(|&at| names[at] != names[begin]).unwrap_or(names.len());
        let (from, to) = (x_of(begin), x_of(end.min(names.len() - 1)).max(x_of(begin) + 1.5));
        sheet.rect((from, top), (to, top + BAND), colour_of(names[begin]))?;
        let look = Type { size_px: 18.0, bold: true, colour: RGBColor(0x1e, 0x1f, 0x22) };
        if sheet.text_width(look, names[begin])? + 8.0 < to - from {
            sheet.text((0.5 * (from + to), top + 0.5 * BAND), Align::Centre, look, names[begin])?;
        }
        begin = end;
    }
    Ok(())
}

fn colour_of(name: &str) -> RGBColor {
    match name {
        "expert" | "carry" => GREEN,
        "noise" | "scoop" => AMBER,
        "policy" | "approach" => BLUE,
        "drop" | "done" => RGBColor(0xb0, 0x8c, 0xff),
        "search" => MUTED,
        _ => RED,
    }
}

fn draw_lane(
    sheet: &Sheet,
    top: f32,
    name: &str,
    values: &[f32],
    colour: RGBColor,
    x_of: &dyn Fn(usize) -> f32,
) -> Result<(), ReportError> {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let bottom = top + LANE - 8.0;
    sheet.rect((LEFT, bottom), (RIGHT, bottom + 1.0), GRID)?;
    let width = sheet.text_width(NAME, name)?.min(LEFT - 30.0);
    sheet.text_within((LEFT - 14.0 - width, 0.5 * (top + bottom)), LEFT - 30.0, NAME, name)?;
    if low > high {
        return Ok(());
    }
    let share = |value: f32| if high > low { (value - low) / (high - low) } else { 0.5 };
    let points: Vec<(f32, f32)> = values
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(frame, &value)| (x_of(frame), bottom - 4.0 - share(value) * (bottom - top - 8.0)))
        .collect();
    sheet.path(&points, 2.0, colour)?;
    let tick = Type { size_px: 15.0, ..SMALL };
    sheet.text((RIGHT + 10.0, top + 8.0), Align::Left, tick, &format!("{high:.2}"))?;
    sheet.text((RIGHT + 10.0, bottom - 6.0), Align::Left, tick, &format!("{low:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_and_an_empty_one_are_drawn() {
        let names = ["steering".to_owned(), "throttle".to_owned()];
        let rows: Vec<Vec<f32>> = (0..30).map(|i| vec![(i as f32 * 0.3).sin(), 1.0]).collect();
        let rgb = vec![90; 8 * 6 * 3];
        let view = EpisodeSheet {
            headline: "Episode 3".into(),
            subline: "3.0 s".into(),
            fps: 10,
            size: (8, 6),
            key_frames: vec![(0, &rgb), (29, &rgb)],
            groups: vec![("action", &names, &rows)],
            phases: [["search"; 10], ["approach"; 10], ["carry"; 10]].concat(),
            actors: vec!["expert"; 30],
        };
        let (rgb, width, height) = crate::render::decode_png(&episode_sheet(&view).unwrap()).unwrap();
        assert_eq!((width, rgb.len()), (WIDTH, WIDTH * height * 3));
        let empty = EpisodeSheet { key_frames: vec![], groups: vec![], phases: vec![], actors: vec![], ..view };
        episode_sheet(&empty).unwrap();
    }
}
