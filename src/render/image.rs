//! RGB bytes to PNG and back: 8 bits per channel, no alpha, which is what datasets and chats read alike.

use super::RenderError;
use std::io::Cursor;

/// The most bytes a decoded picture may take.
const MAX_DECODED_BYTES: usize = 256 << 20;

/// Encodes interleaved RGB rows. Lossless, tuned for speed over size.
///
/// # Errors
///
/// [`RenderError::WrongLength`] when `rgb` is not `width · height · 3` bytes, [`RenderError::Size`] for an empty or
/// overlong picture.
pub fn encode_png(rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>, RenderError> {
    check_frame(rgb, width, height)?;
    let mut bytes = Vec::with_capacity(rgb.len() / 4 + 256);
    let (columns, rows) = (side(width, width, height)?, side(height, width, height)?);
    let mut encoder = png::Encoder::new(&mut bytes, u32::from(columns), u32::from(rows));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// Decodes a PNG of 8-bit RGB: `(rgb, width, height)`.
///
/// # Errors
///
/// [`RenderError::PngDecoding`] for damaged files, [`RenderError::PngKind`] for alpha, grey, palette or 16 bits.
pub fn decode_png(bytes: &[u8]) -> Result<(Vec<u8>, usize, usize), RenderError> {
    let limits = png::Limits { bytes: MAX_DECODED_BYTES };
    let mut reader = png::Decoder::new_with_limits(Cursor::new(bytes), limits).read_info()?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let kind = (info.color_type, info.bit_depth);
    if kind != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(RenderError::PngKind(format!("{:?}, {:?} bits", kind.0, kind.1)));
    }
    let len = reader.output_buffer_size().filter(|&len| len <= MAX_DECODED_BYTES);
    let len = len.ok_or(RenderError::Size { width, height })?;
    let mut rgb = vec![0; len];
    reader.next_frame(&mut rgb)?;
    Ok((rgb, width, height))
}

/// Whether `rgb` is a picture of this size.
pub(super) fn check_frame(rgb: &[u8], width: usize, height: usize) -> Result<(), RenderError> {
    let needed = width.saturating_mul(height).saturating_mul(3);
    if rgb.len() == needed { Ok(()) } else { Err(RenderError::WrongLength { width, height, needed, got: rgb.len() }) }
}

/// One side of a picture as the formats take it.
pub(super) fn side(length: usize, width: usize, height: usize) -> Result<u16, RenderError> {
    match u16::try_from(length) {
        Ok(length) if length > 0 => Ok(length),
        Ok(_) | Err(_) => Err(RenderError::Size { width, height }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_survives_the_round_trip() {
        let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let file = encode_png(&rgb, 7, 5).unwrap();
        assert_eq!(decode_png(&file).unwrap(), (rgb, 7, 5));
    }

    #[test]
    fn wrong_sizes_and_damaged_files_are_errors_that_say_why() {
        let error = encode_png(&[0; 10], 2, 2).unwrap_err();
        assert_eq!(error.to_string(), "a picture of 2×2 pixels needs 12 bytes of RGB, got 10");
        assert!(matches!(encode_png(&[], 0, 0), Err(RenderError::Size { .. })));
        let file = encode_png(&[9; 12], 2, 2).unwrap();
        assert!(matches!(decode_png(&file[..20]), Err(RenderError::PngDecoding(_))));
        assert!(matches!(decode_png(b"not a picture"), Err(RenderError::PngDecoding(_))));
    }
}
