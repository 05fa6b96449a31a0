//! Text on pictures, with a font that travels inside the program.

use super::RenderError;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::sync::OnceLock;

/// The name the embedded font is registered under.
pub const FONT: &str = "sans-serif";

/// Makes [`FONT`] known to `plotters`, once per process, however often it is called.
///
/// # Errors
///
/// [`RenderError::Font`] when the embedded file is damaged.
pub fn register_fonts() -> Result<(), RenderError> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(FONT, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if *done { Ok(()) } else { Err(RenderError::Font("DejaVu Sans")) }
}

/// One line of text on a picture of `width`×`height` pixels, its left end and vertical middle at `at`; what reaches
/// beyond `width_px` is cut and ends in an ellipsis. `look` is the size in pixels and the colour.
///
/// # Errors
///
/// [`RenderError::Font`] and [`RenderError::Text`].
pub fn write_line(
    rgb: &mut [u8],
    size: (usize, usize),
    at: (i32, i32),
    width_px: u32,
    text: &str,
    look: (f64, [u8; 3]),
) -> Result<(), RenderError> {
    register_fonts()?;
    let fail = |error: &dyn std::fmt::Display| RenderError::Text(error.to_string());
    let (height_px, [r, g, b]) = look;
    let ink = RGBColor(r, g, b);
    let style = TextStyle::from((FONT, height_px).into_font()).color(&ink);
    let area = BitMapBackend::with_buffer(rgb, (size.0 as u32, size.1 as u32)).into_drawing_area();
    let fits = |line: &str| area.estimate_text_size(line, &style).is_ok_and(|(w, _)| w <= width_px);
    let mut line: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
    if !fits(&line) {
        while !line.is_empty() && !fits(&format!("{line}…")) {
            line.pop();
        }
        line.push('…');
    }
    // The font backend puts the baseline half a size below the place given; capitals are 0.62 sizes high.
    let top = at.1 - (height_px * 0.19).round() as i32;
    area.draw_text(&line, &style, (at.0, top)).map_err(|e| fail(&e))?;
    area.present().map_err(|e| fail(&e))
}

/// A text in lines of at most `width_px`, broken between words; what does not fit into `lines` is cut and ends in an
/// ellipsis.
pub(super) fn wrap(text: &str, width_px: u32, height_px: f64, lines: usize) -> Result<Vec<String>, RenderError> {
    register_fonts()?;
    let font = (FONT, height_px).into_font();
    let fits = |line: &str| font.box_size(line).is_ok_and(|(width, _)| width <= width_px);
    let mut done: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_last_line = done.len() == lines;
        match done.last_mut() {
            Some(line) if fits(&format!("{line} {word}")) => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if is_last_line => {
                line.push('…');
                break;
            }
            Some(_) | None => done.push(word.to_owned()),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words_and_cut_after_its_lines() {
        let text = "the loader starts in the corridor between box and wall";
        let lines = wrap(text, 120, 14.0, 10).unwrap();
        assert!(lines.len() > 2 && lines.join(" ") == text, "{lines:?}");
        let cut = wrap(text, 120, 14.0, 2).unwrap();
        assert!(cut.len() == 2 && cut[1].ends_with('…'), "{cut:?}");
    }
}
