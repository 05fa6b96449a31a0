//! What people watch: the arena from above, the policy's eye in a corner, a line of caption below.

use super::camera::Camera;
use super::renderer::Renderer;
use super::text::write_line;
use super::{RenderError, image};
use crate::sim::WorldState;

const BAR: [u8; 3] = [24, 25, 28];
const INK: [u8; 3] = [236, 238, 241];
const FRAME: [u8; 3] = [236, 238, 241];

/// Composes pictures of rollouts.
#[derive(Debug, Clone)]
pub struct RolloutView {
    width: usize,
    height: usize,
    bar_px: usize,
    spectator: Renderer,
    cab: Renderer,
    above: Vec<u8>,
    eye: Vec<u8>,
}

impl RolloutView {
    /// For pictures of this size, held within 160×120 to 1920×1440; 480×320 suits a chat.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.clamp(160, 1920), height.clamp(120, 1440));
        let bar_px = (height / 13).max(12);
        let inset_width = width * 7 / 25;
        let spectator = Renderer::new(Camera::framing_arena(width, height - bar_px, (0.0, 1.0)));
        let cab = Renderer::new(Camera::cab(inset_width, inset_width * 3 / 4));
        let (above, eye) = (vec![0; spectator.frame_len()], vec![0; cab.frame_len()]);
        Self { width, height, bar_px, spectator, cab, above, eye }
    }

    /// `(width, height)` in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// How many bytes a picture has.
    pub fn frame_len(&self) -> usize {
        self.width * self.height * 3
    }

    /// Draws one picture into `rgb`; a caption too long for its line is cut.
    ///
    /// # Errors
    ///
    /// [`RenderError::WrongLength`] when `rgb` has not [`frame_len`](Self::frame_len) bytes, [`RenderError::Text`].
    pub fn draw(&mut self, state: &WorldState, caption: Option<&str>, rgb: &mut [u8]) -> Result<(), RenderError> {
        image::check_frame(rgb, self.width, self.height)?;
        self.spectator.render(state, &mut self.above);
        self.cab.render(state, &mut self.eye);
        let (scene, bar) = rgb.split_at_mut(self.above.len());
        scene.copy_from_slice(&self.above);
        for pixel in bar.chunks_exact_mut(3) {
            pixel.copy_from_slice(&BAR);
        }
        self.inset(scene);
        let Some(caption) = caption else { return Ok(()) };
        let text_px = self.bar_px as f64 * 0.66;
        let middle = (self.height - self.bar_px / 2) as i32;
        let margin = (self.bar_px / 3) as i32;
        let room = self.width as u32 - 2 * margin as u32;
        write_line(rgb, (self.width, self.height), (margin, middle), room, caption, (text_px, INK))
    }

    /// The cab's picture, framed, in the upper right corner.
    fn inset(&self, scene: &mut [u8]) {
        let (inset_width, inset_height) = self.cab.size();
        let (border, margin) = (2, self.width / 60);
        let left = self.width - inset_width - border - margin;
        let top = border + margin;
        let row_bytes = 3 * self.width;
        for y in top - border..top + inset_height + border {
            let start = y * row_bytes + 3 * (left - border);
            for pixel in scene[start..start + 3 * (inset_width + 2 * border)].chunks_exact_mut(3) {
                pixel.copy_from_slice(&FRAME);
            }
        }
        for (y, line) in self.eye.chunks_exact(3 * inset_width).enumerate() {
            let start = (top + y) * row_bytes + 3 * left;
            scene[start..start + line.len()].copy_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_drawn_below_and_changes_nothing_above() {
        let mut view = RolloutView::new(240, 160);
        let (mut plain, mut told) = (vec![0; view.frame_len()], vec![0; view.frame_len()]);
        let state = WorldState::default();
        view.draw(&state, None, &mut plain).unwrap();
        view.draw(&state, Some(&"seed 4 · delivered 1/3 ".repeat(20)), &mut told).unwrap();
        let bar = view.above.len();
        assert_eq!(plain[..bar], told[..bar]);
        assert_ne!(plain[bar..], told[bar..]);
        assert!(matches!(view.draw(&state, None, &mut [0; 3]), Err(RenderError::WrongLength { .. })));
    }
}
