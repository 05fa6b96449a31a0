//! The software renderer: the policy's eye, and pictures and clips for people.
//!
//! No GPU, no threads, no clock: the same state gives the same bytes on one build. A [`Camera`] says from where, a
//! [`Renderer`] draws a [`WorldState`](crate::sim::WorldState) into interleaved RGB bytes, [`encode_png`] and [`Clip`]
//! make files of them, a [`RolloutView`] composes what people watch.

mod background;
mod camera;
mod canvas;
mod clip;
mod colour;
mod contact_sheet;
mod coverage;
mod ground;
mod image;
mod loader;
mod polygon;
mod renderer;
mod rollout_view;
mod scene;
mod shadow;
mod solids;
mod space;
mod text;
mod wide;

pub use camera::{Camera, MAX_SIDE_PX};
pub use clip::{Clip, MAX_CLIP_BYTES, MAX_CLIP_FRAMES};
pub use colour::LEGO_COLOURS;
pub use contact_sheet::{Card, Picture, contact_sheet, scene_picture};
pub use image::{decode_png, encode_png};
pub use renderer::Renderer;
pub use rollout_view::RolloutView;
pub use text::{FONT, register_fonts, write_line};

/// Version of how the world is drawn; written into every dataset. It changes whenever a state's picture does.
pub const RENDER_VERSION: &str = "2";

/// What can go wrong between a picture and its file.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The buffer does not fit the size.
    #[error("a picture of {width}×{height} pixels needs {needed} bytes of RGB, got {got}")]
    WrongLength {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes a picture of this size has.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// The PNG could not be written.
    #[error("cannot write PNG: {0}")]
    PngEncoding(#[from] png::EncodingError),
    /// The PNG could not be read.
    #[error("cannot read PNG: {0}")]
    PngDecoding(#[from] png::DecodingError),
    /// The PNG is not the kind this program writes.
    #[error("PNG is {0}, only 8-bit RGB is read here")]
    PngKind(String),
    /// The GIF could not be written.
    #[error("cannot write GIF: {0}")]
    Gif(#[from] gif::EncodingError),
    /// A side of the picture is too long for the format.
    #[error("{width}×{height} pixels is outside 1×1 to 65535×65535")]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A clip without frames.
    #[error("the clip has no frames: push at least one before encoding")]
    EmptyClip,
    /// Even the shortened clip is larger than may be posted.
    #[error("the clip has {bytes} bytes, more than the {limit} allowed: use a smaller picture")]
    ClipTooLarge {
        /// Size after shortening.
        bytes: usize,
        /// The limit, [`MAX_CLIP_BYTES`].
        limit: usize,
    },
    /// The embedded font could not be read.
    #[error("cannot use the embedded font {0}")]
    Font(&'static str),
    /// Text could not be drawn.
    #[error("cannot draw text: {0}")]
    Text(String),
}
