//! A short moving picture as a GIF: what chats show at once, without a player.
//!
//! One palette for the whole clip, so that nothing flickers, and only what changed is written, so that a fixed camera
//! costs little. Bounded twice: frames in memory (then every second frame goes) and bytes in the file (likewise).

use super::RenderError;
use super::image::{check_frame, side};

/// A clip keeps at most this many frames; one more, and every second is dropped and the rest are shown twice as long.
pub const MAX_CLIP_FRAMES: usize = 240;
/// An encoded clip is at most this large: what chats accept from everybody.
pub const MAX_CLIP_BYTES: usize = 8 << 20;
/// Pixels are kept in 16 bits: a GIF shows 256 colours at once.
const COLOURS_16_BIT: usize = 1 << 16;
/// How many pixels the palette is chosen from.
const PALETTE_SAMPLES: usize = 40_000;
/// NeuQuant's sampling step, 1 (best) to 30 (fastest).
const PALETTE_SPEED: i32 = 4;
/// The palette's entry that lets the last frame show through.
const UNCHANGED: u8 = 255;

/// Frames of one size at one rate.
#[derive(Debug, Clone)]
pub struct Clip {
    width: usize,
    height: usize,
    frame_s: f32,
    /// One pushed frame in this many is kept.
    stride: usize,
    pushed: usize,
    frames: Vec<Vec<u16>>,
}

impl Clip {
    /// An empty clip of `fps` frames per second (held within 1 to 50: a GIF counts in hundredths of a second).
    pub fn new(width: usize, height: usize, fps: f32) -> Self {
        let fps = if fps.is_finite() { fps.clamp(1.0, 50.0) } else { 10.0 };
        Self { width, height, frame_s: 1.0 / fps, stride: 1, pushed: 0, frames: Vec::new() }
    }

    /// Appends a frame, interleaved RGB rows.
    ///
    /// # Errors
    ///
    /// [`RenderError::WrongLength`] when it is not of the clip's size.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), RenderError> {
        check_frame(rgb, self.width, self.height)?;
        if self.pushed.is_multiple_of(self.stride) {
            if self.frames.len() == MAX_CLIP_FRAMES {
                drop_every_second(&mut self.frames);
                self.stride *= 2;
            }
            if self.pushed.is_multiple_of(self.stride) {
                self.frames.push(rgb.chunks_exact(3).map(to_565).collect());
            }
        }
        self.pushed += 1;
        Ok(())
    }

    /// How many frames are kept.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing has been pushed.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// `(width, height)` in pixels, and how long one kept frame is shown.
    pub fn format(&self) -> (usize, usize, f32) {
        (self.width, self.height, self.frame_s * self.stride as f32)
    }

    /// The kept frames as interleaved RGB bytes.
    pub fn frames(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.frames.iter().map(|frame| frame.iter().flat_map(|&c| from_565(c)).collect())
    }

    /// The clip as an endlessly repeated GIF of at most [`MAX_CLIP_BYTES`]. Its duration is that of the frames pushed;
    /// the last frame stays for a second longer.
    ///
    /// # Errors
    ///
    /// [`RenderError::EmptyClip`], [`RenderError::Size`] and [`RenderError::ClipTooLarge`].
    pub fn to_gif(&self) -> Result<Vec<u8>, RenderError> {
        if self.frames.is_empty() {
            return Err(RenderError::EmptyClip);
        }
        let palette = Palette::of(&self.frames);
        let (mut skip, mut bytes) = (1, self.encode(&palette, 1)?);
        while bytes.len() > MAX_CLIP_BYTES && skip < self.frames.len() {
            skip *= 2;
            bytes = self.encode(&palette, skip)?;
        }
        if bytes.len() > MAX_CLIP_BYTES {
            return Err(RenderError::ClipTooLarge { bytes: bytes.len(), limit: MAX_CLIP_BYTES });
        }
        Ok(bytes)
    }

    fn encode(&self, palette: &Palette, skip: usize) -> Result<Vec<u8>, RenderError> {
        let columns = side(self.width, self.width, self.height)?;
        let rows = side(self.height, self.width, self.height)?;
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, columns, rows, &palette.rgb)?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        let hundredths = 100.0 * self.frame_s * (self.stride * skip) as f32;
        let delay = hundredths.round().clamp(2.0, 1000.0) as u16;
        let kept: Vec<&Vec<u16>> = self.frames.iter().step_by(skip).collect();
        let mut before: Option<&Vec<u16>> = None;
        for (i, frame) in kept.iter().enumerate() {
            let mut image = palette.difference(before, frame, self.width);
            image.delay = if i + 1 == kept.len() { delay + 100 } else { delay };
            encoder.write_frame(&image)?;
            before = Some(frame);
        }
        drop(encoder);
        Ok(bytes)
    }
}

fn drop_every_second(frames: &mut Vec<Vec<u16>>) {
    let mut keep = false;
    frames.retain(|_| {
        keep = !keep;
        keep
    });
}

fn to_565(pixel: &[u8]) -> u16 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
    (r >> 3) << 11 | (g >> 2) << 5 | b >> 3
}

fn from_565(c: u16) -> [u8; 3] {
    let (r, g, b) = (c >> 11, c >> 5 & 63, c & 31);
    [(r << 3 | r >> 2) as u8, (g << 2 | g >> 4) as u8, (b << 3 | b >> 2) as u8]
}

/// 255 colours, entry [`UNCHANGED`] kept free, and for each 16-bit colour the nearest of them.
struct Palette {
    rgb: Vec<u8>,
    nearest: Vec<u8>,
}

impl Palette {
    fn of(frames: &[Vec<u16>]) -> Self {
        let total: usize = frames.iter().map(Vec::len).sum();
        let step = (total / PALETTE_SAMPLES).max(1) | 1;
        let mut seen = vec![false; COLOURS_16_BIT];
        let mut sample = Vec::with_capacity(3 * PALETTE_SAMPLES.min(total) + 3);
        for (i, &c) in frames.iter().flatten().enumerate() {
            // Every colour once, however rare: a far brick is a few pixels. Then in proportion.
            if !seen[usize::from(c)] || i % step == 0 {
                sample.extend_from_slice(&from_565(c));
            }
            seen[usize::from(c)] = true;
        }
        let rgb = choose_palette(&sample);
        let mut nearest = vec![0; COLOURS_16_BIT];
        for (c, entry) in nearest.iter_mut().enumerate() {
            if seen[c] {
                *entry = nearest_entry(&rgb, from_565(c as u16));
            }
        }
        Self { rgb, nearest }
    }

    /// The rectangle that changed, as a frame of palette entries; unchanged pixels inside it are see-through.
    fn difference(&self, before: Option<&Vec<u16>>, frame: &[u16], width: usize) -> gif::Frame<'static> {
        let entry = |i: usize| self.nearest[usize::from(frame[i])];
        let changed = |i: usize| before.is_none_or(|b| self.nearest[usize::from(b[i])] != entry(i));
        let height = frame.len() / width;
        let (mut left, mut right, mut top, mut bottom) = (width, 0, height, 0);
        for i in (0..frame.len()).filter(|&i| changed(i)) {
            let (x, y) = (i % width, i / width);
            (left, right, top, bottom) = (left.min(x), right.max(x + 1), top.min(y), bottom.max(y + 1));
        }
        if left >= right {
            (left, right, top, bottom) = (0, 1, 0, 1);
        }
        let pixels = (top..bottom)
            .flat_map(|y| (left..right).map(move |x| y * width + x))
            .map(|i| if changed(i) { entry(i) } else { UNCHANGED })
            .collect::<Vec<u8>>();
        gif::Frame {
            left: left as u16,
            top: top as u16,
            width: (right - left) as u16,
            height: (bottom - top) as u16,
            transparent: Some(UNCHANGED),
            dispose: gif::DisposalMethod::Keep,
            buffer: pixels.into(),
            ..gif::Frame::default()
        }
    }
}

/// 255 colours for these pixels, and a 256th that is never shown.
fn choose_palette(sample: &[u8]) -> Vec<u8> {
    // The quantiser wants a picture; its pixels' order does not matter, so they are laid out in one of rows of 256.
    let rows = (sample.len() / 3).div_ceil(256).clamp(1, usize::from(u16::MAX));
    let mut picture = sample.to_vec();
    let last = sample.rchunks_exact(3).next().unwrap_or(&[0, 0, 0]).to_vec();
    picture.extend(last.iter().cycle().take((rows * 256 * 3).saturating_sub(sample.len())));
    picture.truncate(rows * 256 * 3);
    let frame = gif::Frame::from_rgb_speed(256, rows as u16, &picture, PALETTE_SPEED);
    let mut rgb = frame.palette.unwrap_or_default();
    rgb.truncate(3 * usize::from(UNCHANGED));
    rgb.resize(256 * 3, 0);
    rgb
}

fn nearest_entry(palette: &[u8], colour: [u8; 3]) -> u8 {
    let distance = |entry: &[u8]| -> i32 {
        entry
            .iter()
            .zip(colour)
            .zip([2, 4, 1])
            .map(|((&a, b), weight)| weight * (i32::from(a) - i32::from(b)).pow(2))
            .sum()
    };
    let shown = palette.chunks_exact(3).take(usize::from(UNCHANGED));
    shown.enumerate().min_by_key(|(_, entry)| distance(entry)).map_or(0, |(i, _)| i as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seed: usize) -> Vec<u8> {
        let mut rgb = vec![40; 32 * 24 * 3];
        let start = 3 * (seed % 700);
        rgb[start..start + 12].copy_from_slice(&[250, 180, 0].repeat(4));
        rgb
    }

    fn decoded(file: &[u8]) -> (usize, u32, Vec<u16>) {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::Indexed);
        let mut decoder = options.read_info(file).unwrap();
        let (mut count, mut hundredths, mut widths) = (0, 0, Vec::new());
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            count += 1;
            hundredths += u32::from(frame.delay);
            widths.push(frame.width);
        }
        (count, hundredths, widths)
    }

    #[test]
    fn frames_come_out_at_their_rate_and_only_what_changed_is_written() {
        let mut clip = Clip::new(32, 24, 10.0);
        (0..5).for_each(|i| clip.push(&frame(i * 40)).unwrap());
        let (count, hundredths, widths) = decoded(&clip.to_gif().unwrap());
        assert_eq!((count, hundredths), (5, 5 * 10 + 100));
        assert!(widths[0] == 32 && widths[1..].iter().all(|&w| w < 32), "{widths:?}");
    }

    #[test]
    fn a_long_clip_keeps_its_duration_with_fewer_frames() {
        let mut clip = Clip::new(32, 24, 10.0);
        (0..1000).for_each(|i| clip.push(&frame(i)).unwrap());
        assert!(clip.len() <= MAX_CLIP_FRAMES);
        let (_, hundredths, _) = decoded(&clip.to_gif().unwrap());
        assert!((10_000..10_300).contains(&hundredths), "{hundredths}");
    }

    #[test]
    fn the_palette_keeps_a_rare_colour() {
        let mut clip = Clip::new(32, 24, 10.0);
        clip.push(&frame(10)).unwrap();
        let palette = Palette::of(&clip.frames);
        let entry = usize::from(palette.nearest[usize::from(to_565(&[250, 180, 0]))]);
        let shown = &palette.rgb[3 * entry..3 * entry + 3];
        assert!(shown[0] > 220 && shown[2] < 50, "{shown:?}");
    }

    #[test]
    fn nothing_pushed_and_wrong_sizes_are_errors() {
        assert!(matches!(Clip::new(4, 4, 10.0).to_gif(), Err(RenderError::EmptyClip)));
        assert!(matches!(Clip::new(4, 4, f32::NAN).push(&[0; 3]), Err(RenderError::WrongLength { .. })));
    }
}
