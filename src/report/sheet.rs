//! The paper charts are drawn on: dark, in large type, readable on a phone in a chat window.
//!
//! Coordinates are pixels of the finished picture. It is drawn at twice its size and averaged down, so that slanted
//! lines and round points have smooth edges.

use super::ReportError;
use crate::render::{FONT, encode_png, register_fonts};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontDesc, FontFamily, FontStyle};

/// Drawn size over finished size.
const FINE: usize = 2;

pub(super) const BACKGROUND: RGBColor = RGBColor(0x1e, 0x1f, 0x22);
pub(super) const GRID: RGBColor = RGBColor(0x3a, 0x3c, 0x43);
pub(super) const INK: RGBColor = RGBColor(0xf2, 0xf3, 0xf5);
pub(super) const MUTED: RGBColor = RGBColor(0xb5, 0xba, 0xc1);
pub(super) const BLUE: RGBColor = RGBColor(0x5c, 0xa9, 0xff);
pub(super) const GREEN: RGBColor = RGBColor(0x57, 0xd9, 0x8c);
pub(super) const AMBER: RGBColor = RGBColor(0xf7, 0xb7, 0x32);
pub(super) const RED: RGBColor = RGBColor(0xff, 0x6b, 0x6b);

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a text looks: size in pixels, weight, colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub size_px: f32,
    pub bold: bool,
    pub colour: RGBColor,
}

/// The headline of a chart.
pub(super) const HEADLINE: Type = Type { size_px: 44.0, bold: true, colour: INK };
/// What the headline means.
pub(super) const SUBLINE: Type = Type { size_px: 29.0, bold: false, colour: MUTED };
/// Numbers at the axes.
pub(super) const TICK: Type = Type { size_px: 28.0, bold: false, colour: MUTED };

/// An empty dark sheet.
pub(super) struct Sheet<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
}

/// Draws a picture of this size and encodes it as PNG.
pub(super) fn picture(
    width: usize,
    height: usize,
    draw: impl FnOnce(&Sheet) -> Result<(), ReportError>,
) -> Result<Vec<u8>, ReportError> {
    register_fonts()?;
    let (fine_width, fine_height) = (width * FINE, height * FINE);
    let RGBColor(r, g, b) = BACKGROUND;
    let mut fine = [r, g, b].repeat(fine_width * fine_height);
    {
        let backend = BitMapBackend::with_buffer(&mut fine, (fine_width as u32, fine_height as u32));
        let sheet = Sheet { area: backend.into_drawing_area() };
        draw(&sheet)?;
        sheet.area.present().map_err(drawing)?;
    }
    Ok(encode_png(&averaged(&fine, width, height), width, height)?)
}

fn averaged(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    let row_bytes = width * FINE * 3;
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0_u32;
                for (dy, dx) in (0..FINE).flat_map(|dy| (0..FINE).map(move |dx| (dy, dx))) {
                    sum += u32::from(fine[(y * FINE + dy) * row_bytes + (x * FINE + dx) * 3 + channel]);
                }
                rgb.push((sum / (FINE * FINE) as u32) as u8);
            }
        }
    }
    rgb
}

fn drawing(error: impl std::fmt::Display) -> ReportError {
    ReportError::Drawing(error.to_string())
}

fn fine(x: f32, y: f32) -> (i32, i32) {
    ((x * FINE as f32).round() as i32, (y * FINE as f32).round() as i32)
}

impl Sheet<'_> {
    /// A filled rectangle.
    pub fn rect(&self, from: (f32, f32), to: (f32, f32), colour: impl Color) -> Result<(), ReportError> {
        let corners = [fine(from.0, from.1), fine(to.0, to.1)];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(drawing)
    }

    /// A filled polygon.
    pub fn polygon(&self, corners: &[(f32, f32)], colour: impl Color) -> Result<(), ReportError> {
        let corners: Vec<(i32, i32)> = corners.iter().map(|&(x, y)| fine(x, y)).collect();
        self.area.draw(&Polygon::new(corners, colour.filled())).map_err(drawing)
    }

    /// A straight line.
    pub fn line(&self, from: (f32, f32), to: (f32, f32), width: f32, colour: impl Color) -> Result<(), ReportError> {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).sqrt();
        if length <= 0.0 || length.is_nan() {
            return Ok(());
        }
        let (nx, ny) = (-dy / length * 0.5 * width, dx / length * 0.5 * width);
        let corners =
            [(from.0 + nx, from.1 + ny), (to.0 + nx, to.1 + ny), (to.0 - nx, to.1 - ny), (from.0 - nx, from.1 - ny)];
        self.polygon(&corners, colour)
    }

    /// Straight lines from point to point, with round corners.
    pub fn path(&self, points: &[(f32, f32)], width: f32, colour: RGBColor) -> Result<(), ReportError> {
        for pair in points.windows(2) {
            self.line(pair[0], pair[1], width, colour)?;
            self.dot(pair[1], 0.5 * width, colour)?;
        }
        Ok(())
    }

    /// A level dashed line.
    pub fn dashes(&self, y: f32, from_x: f32, to_x: f32, colour: RGBColor) -> Result<(), ReportError> {
        let (dash, gap) = (14.0, 10.0);
        let mut x = from_x;
        while x < to_x {
            self.rect((x, y - 1.5), ((x + dash).min(to_x), y + 1.5), colour)?;
            x += dash + gap;
        }
        Ok(())
    }

    /// A filled circle.
    pub fn dot(&self, at: (f32, f32), radius: f32, colour: impl Color) -> Result<(), ReportError> {
        let radius = (radius * FINE as f32).round() as i32;
        self.area.draw(&Circle::new(fine(at.0, at.1), radius, colour.filled())).map_err(drawing)
    }

    /// A picture of `(width, height)` pixels of RGB bytes, stretched over a place of `extent`.
    pub fn image(
        &self,
        at: (f32, f32),
        extent: (f32, f32),
        size: (usize, usize),
        rgb: &[u8],
    ) -> Result<(), ReportError> {
        let (left, top) = fine(at.0, at.1);
        let (right, bottom) = fine(at.0 + extent.0, at.1 + extent.1);
        let (wide, high) = ((right - left).max(1) as usize, (bottom - top).max(1) as usize);
        for y in 0..high {
            for x in 0..wide {
                let pixel = (y * size.1 / high * size.0 + x * size.0 / wide) * 3;
                if let Some(&[r, g, b]) = rgb.get(pixel..pixel + 3) {
                    let place = (left + x as i32, top + y as i32);
                    self.area.draw_pixel(place, &RGBColor(r, g, b)).map_err(drawing)?;
                }
            }
        }
        Ok(())
    }

    /// One line of text; `at` is its end and the middle of its capitals.
    pub fn text(&self, at: (f32, f32), align: Align, look: Type, text: &str) -> Result<(), ReportError> {
        let width = self.text_width(look, text)?;
        let left = match align {
            Align::Left => at.0,
            Align::Centre => at.0 - 0.5 * width,
            Align::Right => at.0 - width,
        };
        // The font backend puts the baseline half a size below the place given; capitals are 0.62 sizes high.
        let top = at.1 - 0.19 * look.size_px;
        self.area.draw_text(text, &style(&look), fine(left, top)).map_err(drawing)
    }

    /// Like [`text`](Self::text), from its left end, cut with an ellipsis to `width` pixels.
    pub fn text_within(&self, at: (f32, f32), width: f32, look: Type, text: &str) -> Result<(), ReportError> {
        let mut line: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        if self.text_width(look, &line)? > width {
            line.push('…');
            while line.chars().count() > 1 && self.text_width(look, &line)? > width {
                line.pop();
                line.pop();
                line.push('…');
            }
        }
        self.text(at, Align::Left, look, &line)
    }

    /// How wide a text is, in pixels.
    pub fn text_width(&self, look: Type, text: &str) -> Result<f32, ReportError> {
        let (width, _) = self.area.estimate_text_size(text, &style(&look)).map_err(drawing)?;
        Ok(width as f32 / FINE as f32)
    }
}

fn style(look: &Type) -> TextStyle<'static> {
    let weight = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(look.size_px) * FINE as f64, weight);
    TextStyle { color: look.colour.to_backend_color(), ..TextStyle::from(font) }
}
