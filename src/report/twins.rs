//! Two observations that look the same although the expert acts differently: the audit's evidence as a picture.

use super::ReportError;
use super::charts::{headline, subline};
use super::sheet::{Align, INK, Type, picture};
use plotters::style::RGBColor;

const WIDTH: usize = 960;
const LEFT: f32 = 36.0;
const TOP: f32 = 130.0;
/// Room between the two images, and for the words below.
const GAP: f32 = 24.0;
const BELOW: f32 = 92.0;

/// One observation: what the camera shows, what the variable is, and what the expert does.
#[derive(Debug, Clone, PartialEq)]
pub struct TwinView<'a> {
    /// RGB bytes, `H·W·3`.
    pub rgb: &'a [u8],
    /// `lift 0.9 m`
    pub variable: String,
    /// `bucket -1.0`
    pub action: String,
}

/// Both observations side by side, every pixel as the policy has it. PNG, 960 wide.
///
/// # Errors
///
/// [`ReportError`] when an image is not of that size or the picture cannot be drawn.
pub fn twin_picture(
    title: &str,
    (width, height): (usize, usize),
    views: &[TwinView<'_>; 2],
) -> Result<Vec<u8>, ReportError> {
    if width == 0 || height == 0 || views.iter().any(|view| view.rgb.len() != width * height * 3) {
        return Err(ReportError::Drawing(format!("images that are not {width}×{height} pixels")));
    }
    let pixel = (WIDTH as f32 - 2.0 * LEFT - GAP) / 2.0 / width as f32;
    let below = TOP + pixel * height as f32;
    picture(WIDTH, (below + BELOW) as usize, |sheet| {
        headline(sheet, title)?;
        subline(sheet, "the policy observes the same, the expert does not do the same")?;
        for (side, view) in views.iter().enumerate() {
            let left = LEFT + side as f32 * (pixel * width as f32 + GAP);
            for (index, rgb) in view.rgb.chunks_exact(3).enumerate() {
                let from = (left + pixel * (index % width) as f32, TOP + pixel * (index / width) as f32);
                let colour = RGBColor(rgb[0], rgb[1], rgb[2]);
                sheet.rect(from, (from.0 + pixel, from.1 + pixel), colour)?;
            }
            let look = Type { size_px: 27.0, bold: false, colour: INK };
            sheet.text((left, below + 26.0), Align::Left, look, &view.variable)?;
            sheet.text((left, below + 62.0), Align::Left, look, &format!("expert: {}", view.action))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decode_png;

    #[test]
    fn twins_stand_side_by_side() {
        let rgb = [200; 4 * 3 * 3];
        let view = || TwinView { rgb: &rgb, variable: "lift 0.2 m".to_owned(), action: "bucket +1.0".to_owned() };
        let png = twin_picture("Lift cannot be told", (4, 3), &[view(), view()]).unwrap();
        let (_, width, height) = decode_png(&png).unwrap();
        assert!(width == WIDTH && height > 400);
        assert!(twin_picture("wrong", (5, 3), &[view(), view()]).is_err());
    }
}
