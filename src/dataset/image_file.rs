//! Frames as image files in memory. Written: PNG, always RGB8, because readers take other colour types for other channel
//! counts. Read: PNG, and JPEG from datasets that others made.
//!
//! One fixed filter and the fast deflate: about ten times the speed of the library's default at little size.

use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, EncodingError, Filter};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// What every JPEG begins with.
const JPEG: [u8; 3] = [0xff, 0xd8, 0xff];

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

/// Decodes a PNG or JPEG file into `out`, which must have exactly `H·W·3` bytes.
///
/// # Errors
/// A text naming what is wrong: another size, another colour type, damaged bytes.
pub(super) fn decode_image(bytes: &[u8], width: usize, height: usize, out: &mut [u8]) -> Result<(), String> {
    if bytes.starts_with(&JPEG) {
        decode_jpeg(bytes, width, height, out)
    } else {
        decode_png(bytes, width, height, out)
    }
}

fn decode_png(bytes: &[u8], width: usize, height: usize, out: &mut [u8]) -> Result<(), String> {
    let damaged = |error: DecodingError| format!("damaged PNG: {error}");
    let mut reader = Decoder::new(Cursor::new(bytes)).read_info().map_err(damaged)?;
    let info = reader.info();
    check_size((info.width as usize, info.height as usize), (width, height))?;
    if (info.color_type, info.bit_depth) != (ColorType::Rgb, BitDepth::Eight) {
        return Err(format!(
            "image of type {:?} with {} bits; only 8-bit RGB has three channels for LeRobot",
            info.color_type, info.bit_depth as u8
        ));
    }
    reader.next_frame(out).map_err(damaged)?;
    reader.finish().map_err(damaged)
}

fn decode_jpeg(bytes: &[u8], width: usize, height: usize, out: &mut [u8]) -> Result<(), String> {
    let options = DecoderOptions::new_safe().jpeg_set_out_colorspace(ColorSpace::RGB).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error: zune_jpeg::errors::DecodeErrors| format!("damaged JPEG: {error}");
    decoder.decode_headers().map_err(damaged)?;
    let info = decoder.info().ok_or("damaged JPEG: it has no header")?;
    check_size((usize::from(info.width), usize::from(info.height)), (width, height))?;
    if info.components != 3 {
        return Err(format!("JPEG of {} channels; LeRobot needs three", info.components));
    }
    decoder.decode_into(out).map_err(damaged)
}

fn check_size(found: (usize, usize), declared: (usize, usize)) -> Result<(), String> {
    if found == declared {
        return Ok(());
    }
    Err(format!("image of {}×{} pixels where {}×{} are declared", found.0, found.1, declared.0, declared.1))
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
        decode_image(&png, 7, 5, &mut back).unwrap();
        assert_eq!(back, rgb);
        assert!(decode_image(&png, 5, 7, &mut back).unwrap_err().contains("7×5 pixels"));
        let middle = png.len() / 2;
        png[middle] ^= 0x40;
        assert!(decode_image(&png, 7, 5, &mut back).unwrap_err().contains("damaged PNG"));
    }

    #[test]
    fn other_colour_types_are_refused() {
        for (colour, name, bytes) in [
            (ColorType::Grayscale, "Grayscale", 2),
            (ColorType::Rgba, "Rgba", 8),
            (ColorType::GrayscaleAlpha, "Alpha", 4),
        ] {
            let mut png = Vec::new();
            let mut encoder = Encoder::new(&mut png, 2, 1);
            encoder.set_color(colour);
            encoder.write_header().unwrap().write_image_data(&vec![7; bytes]).unwrap();
            let problem = decode_image(&png, 2, 1, &mut [0; 6]).unwrap_err();
            assert!(problem.contains(name), "{problem}");
        }
    }

    /// A grey 8×8 JPEG in three channels, as Pillow writes it.
    const JPEG_8X8: &str = include_str!("../../tests/fixtures/grey_8x8.jpg.hex");

    #[test]
    fn jpegs_of_others_are_read() {
        let digits: Vec<u8> = JPEG_8X8.bytes().filter(u8::is_ascii_hexdigit).collect();
        let nibble = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
        let jpeg: Vec<u8> = digits.chunks_exact(2).map(|pair| nibble(pair[0]) * 16 + nibble(pair[1])).collect();
        let mut rgb = vec![0; 8 * 8 * 3];
        decode_image(&jpeg, 8, 8, &mut rgb).unwrap();
        assert!(rgb.iter().all(|&level| level.abs_diff(100) <= 2), "{rgb:?}");
        assert!(decode_image(&jpeg, 8, 9, &mut vec![0; 216]).unwrap_err().contains("8×8 pixels"));
        for cut in 0..jpeg.len() - 2 {
            assert!(decode_image(&jpeg[..cut], 8, 8, &mut rgb).is_err() || cut > 300, "cut at {cut}");
        }
    }
}
