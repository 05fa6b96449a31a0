//! Frames as PNG files in memory: always RGB8, because readers take other colour types for other channel counts.
//!
//! One fixed filter and the fast deflate: about ten times the speed of the library's default at little size.

use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, EncodingError, Filter};
use std::io::Cursor;

/// Appends `rgb` (`H·W·3` bytes) to `out` as one PNG file.
///
/// # Errors
/// When the number of bytes does not fit the size.
pub fn encode_png(rgb: &[u8], width: usize, height: usize, out: &mut Vec<u8>) -> Result<(), EncodingError> {
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut encoder = Encoder::new(out, side(width), side(height));
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Up);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}

/// Decodes a PNG into `out`, which must have exactly `H·W·3` bytes.
///
/// # Errors
/// A text naming what is wrong: another size, another colour type, damaged bytes.
pub(super) fn decode_png(bytes: &[u8], width: usize, height: usize, out: &mut [u8]) -> Result<(), String> {
    let damaged = |error: DecodingError| format!("damaged PNG: {error}");
    let mut reader = Decoder::new(Cursor::new(bytes)).read_info().map_err(damaged)?;
    let info = reader.info();
    let (w, h) = (info.width as usize, info.height as usize);
    if (w, h) != (width, height) {
        return Err(format!("image of {w}×{h} pixels where {width}×{height} are declared"));
    }
    if (info.color_type, info.bit_depth) != (ColorType::Rgb, BitDepth::Eight) {
        return Err(format!("image of type {:?}, only 8-bit RGB has three channels for LeRobot", info.color_type));
    }
    reader.next_frame(out).map_err(damaged)?;
    reader.finish().map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_equal_and_damage_is_seen() {
        let rgb: Vec<u8> = (0..5 * 7 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let mut png = Vec::new();
        encode_png(&rgb, 7, 5, &mut png).unwrap();
        let mut back = vec![0; rgb.len()];
        decode_png(&png, 7, 5, &mut back).unwrap();
        assert_eq!(back, rgb);
        assert!(decode_png(&png, 5, 7, &mut back).unwrap_err().contains("7×5 pixels"));
        let middle = png.len() / 2;
        png[middle] ^= 0x40;
        assert!(decode_png(&png, 7, 5, &mut back).unwrap_err().contains("damaged PNG"));
    }

    #[test]
    fn grey_images_are_refused() {
        let mut png = Vec::new();
        let mut encoder = Encoder::new(&mut png, 2, 1);
        encoder.set_color(ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[1, 2]).unwrap();
        assert!(decode_png(&png, 2, 1, &mut [0; 6]).unwrap_err().contains("Grayscale"));
    }
}
