//! A sheet of scenes for people: of each the cab's view, the arena from above, a title and what it is for.

use super::RenderError;
use super::camera::Camera;
use super::renderer::Renderer;
use super::text::{wrap, write_line};
use crate::sim::WorldState;

const PAPER: [u8; 3] = [30, 31, 35];
const CARD: [u8; 3] = [43, 45, 50];
const TITLE: [u8; 3] = [244, 245, 247];
const TEXT: [u8; 3] = [184, 188, 196];
const CAB_PX: (usize, usize) = (272, 204);
const ABOVE_PX: (usize, usize) = (300, 204);
/// Between the two views, and around a card's content.
const GAP_PX: usize = 6;
const PAD_PX: usize = 14;
const MARGIN_PX: usize = 20;
const HEADER_PX: usize = 84;
const COLUMNS: usize = 3;
const TITLE_LINE_PX: usize = 34;
const TEXT_LINE_PX: usize = 21;
/// A purpose longer than this many lines is cut.
const TEXT_LINES: usize = 2;

/// A picture of interleaved RGB bytes.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Rows from the top, three bytes per pixel.
    pub rgb: Vec<u8>,
}

/// One scene of a sheet.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// Its name for people.
    pub title: &'a str,
    /// What it is for, in a sentence.
    pub purpose: &'a str,
    /// The scene.
    pub state: &'a WorldState,
}

impl Picture {
    fn plain(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    fn fill(&mut self, (left, top): (usize, usize), (width, height): (usize, usize), colour: [u8; 3]) {
        let row = colour.repeat(width);
        for y in top..top + height {
            let start = 3 * (y * self.width + left);
            self.rgb[start..start + row.len()].copy_from_slice(&row);
        }
    }

    fn place(&mut self, (left, top): (usize, usize), other: &Picture) {
        for (y, row) in other.rgb.chunks_exact(3 * other.width).enumerate() {
            let start = 3 * ((top + y) * self.width + left);
            self.rgb[start..start + row.len()].copy_from_slice(row);
        }
    }

    fn write(&mut self, at: (usize, usize), room: usize, text: &str, look: (f64, [u8; 3])) -> Result<(), RenderError> {
        let size = (self.width, self.height);
        write_line(&mut self.rgb, size, (at.0 as i32, at.1 as i32), room as u32, text, look)
    }
}

/// A scene as the cab sees it, and beside it from above.
pub fn scene_picture(state: &WorldState) -> Picture {
    let mut picture = Picture::plain(CAB_PX.0 + GAP_PX + ABOVE_PX.0, CAB_PX.1, CARD);
    let views = [(Camera::cab(CAB_PX.0, CAB_PX.1), 0), (Camera::spectator(ABOVE_PX.0, ABOVE_PX.1), CAB_PX.0 + GAP_PX)];
    for (camera, left) in views {
        let mut renderer = Renderer::new(camera);
        let (width, height) = renderer.size();
        let mut view = Picture::plain(width, height, CARD);
        renderer.render(state, &mut view.rgb);
        picture.place((left, 0), &view);
    }
    picture
}

/// All scenes on one sheet, three in a row.
///
/// # Errors
///
/// [`RenderError::Text`] and [`RenderError::Font`].
pub fn contact_sheet(heading: &str, note: &str, cards: &[Card<'_>]) -> Result<Picture, RenderError> {
    let inner = CAB_PX.0 + GAP_PX + ABOVE_PX.0;
    let (card_width, text_height) = (inner + 2 * PAD_PX, TITLE_LINE_PX + TEXT_LINES * TEXT_LINE_PX);
    let card_height = text_height + CAB_PX.1 + 2 * PAD_PX;
    let rows = cards.len().div_ceil(COLUMNS);
    let width = COLUMNS * (card_width + MARGIN_PX) + MARGIN_PX;
    let height = HEADER_PX + rows * (card_height + MARGIN_PX);
    let mut sheet = Picture::plain(width, height, PAPER);
    sheet.write((MARGIN_PX, 30), width - 2 * MARGIN_PX, heading, (27.0, TITLE))?;
    sheet.write((MARGIN_PX, 61), width - 2 * MARGIN_PX, note, (16.0, TEXT))?;
    for (i, card) in cards.iter().enumerate() {
        let left = MARGIN_PX + i % COLUMNS * (card_width + MARGIN_PX);
        let top = HEADER_PX + i / COLUMNS * (card_height + MARGIN_PX);
        sheet.fill((left, top), (card_width, card_height), CARD);
        let x = left + PAD_PX;
        sheet.write((x, top + PAD_PX + 10), inner, card.title, (21.0, TITLE))?;
        for (line, text) in wrap(card.purpose, inner as u32, 15.0, TEXT_LINES)?.iter().enumerate() {
            let middle = top + PAD_PX + TITLE_LINE_PX + line * TEXT_LINE_PX + TEXT_LINE_PX / 2;
            sheet.write((x, middle), inner, text, (15.0, TEXT))?;
        }
        sheet.place((x, top + PAD_PX + text_height), &scene_picture(card.state));
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_room_for_every_card_and_shows_each_scene() {
        let state = WorldState::default();
        let card = Card { title: "Open floor", purpose: "The everyday case.", state: &state };
        let one = contact_sheet("Families", "a note", &[card]).unwrap();
        let four = contact_sheet("Families", "a note", &[card; 4]).unwrap();
        assert_eq!(one.width, four.width);
        assert!(four.height > one.height && four.rgb.len() == four.width * four.height * 3);
        let colours: std::collections::BTreeSet<_> = one.rgb.chunks_exact(3).collect();
        assert!(colours.len() > 200, "{} colours", colours.len());
    }
}
