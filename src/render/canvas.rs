//! The picture in pixels, and finer samples only where objects are.
//!
//! The background is smooth or blended at its edges, so one value per pixel is enough for it. Objects hide each other:
//! their faces are drawn into `n`×`n` samples per pixel with a nearness each. A row's samples are set up from its
//! pixels when the first face touches them, and only what was touched is averaged back. Nearness is 1/depth, 0 for the
//! background: it is affine across a plane's picture, so a face needs three numbers and no interpolation of corners.

use super::colour::{GREEN, RED_BLUE};
use super::space::{larger, smaller};
use super::wide::{GROUP, Wide};

/// The picture of one frame in the making. Colours are packed `0x00BBGGRR`.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Longer by [`GROUP`], as are the samples.
    pub(super) pixels: Vec<u32>,
    pub wide: Wide,
    /// Samples per pixel along each axis.
    n: usize,
    colour: Vec<u32>,
    nearness: Vec<f32>,
    /// The pixels of each row that have samples, from … to before ….
    touched: Vec<(usize, usize)>,
    /// The samples of each row that the face being filled covers, from … to before ….
    starts: Vec<u32>,
    ends: Vec<u32>,
}

/// A face's nearness in the picture: at sample (0, 0), and what each column and row of samples adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope {
    pub at_origin: f32,
    pub per_column: f32,
    pub per_row: f32,
}

impl Canvas {
    /// A canvas of `width`×`height` pixels with `n`×`n` samples in each.
    pub fn new(width: usize, height: usize, n: usize) -> Self {
        let samples = width * height * n * n;
        Self {
            width,
            height,
            pixels: vec![0; width * height + GROUP],
            wide: Wide::best(),
            n,
            colour: vec![0; samples + GROUP],
            nearness: vec![0.0; samples + GROUP],
            touched: vec![(width, 0); height],
            starts: vec![0; height * n],
            ends: vec![0; height * n],
        }
    }

    /// Forgets all samples; pixels are overwritten by the background.
    pub fn clear(&mut self) {
        self.touched.fill((self.width, 0));
    }

    /// A row of pixels.
    pub fn row_mut(&mut self, row: usize) -> &mut [u32] {
        &mut self.pixels[row * self.width..(row + 1) * self.width]
    }

    /// The row's pixels from `start` to before `end`, and then as many more as make whole groups; those must be left as
    /// they are.
    #[inline(always)]
    pub fn groups_mut(&mut self, row: usize, start: usize, end: usize) -> &mut [u32] {
        let first = row * self.width + start;
        &mut self.pixels[first..first + (end - start).next_multiple_of(GROUP)]
    }

    /// Fills a face, its corners in samples, behind what is nearer already.
    pub fn fill_face(&mut self, corners: &[[f32; 2]], slope: Slope, colour: u32) {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for corner in corners {
            low = smaller(corner[1], low);
            high = larger(corner[1], high);
        }
        let top = first_at(low);
        let bottom = first_at(high).min(self.height * self.n);
        if top >= bottom {
            return;
        }
        let wide = self.wide;
        wide.run(
            #[inline(always)]
            || {
                self.trace(corners, bottom);
                let mut line = top / self.n;
                let mut row = top;
                while row < bottom {
                    let below = ((line + 1) * self.n).min(bottom);
                    self.fill_line(line, row..below, slope, colour);
                    row = below;
                    line += 1;
                }
            },
        );
    }

    /// Writes each row's ends. A convex outline goes down on one side and up on the other, so each edge writes one.
    #[inline(always)]
    fn trace(&mut self, corners: &[[f32; 2]], bottom: usize) {
        let columns = (self.width * self.n) as u32;
        let next = |i: usize| corners[if i + 1 == corners.len() { 0 } else { i + 1 }];
        let turn: f32 = corners.iter().enumerate().map(|(i, a)| a[0] * next(i)[1] - a[1] * next(i)[0]).sum();
        for (i, &a) in corners.iter().enumerate() {
            let b = next(i);
            let down = b[1] > a[1];
            let (a, b) = if down { (a, b) } else { (b, a) };
            let (from, to) = (first_at(a[1]), first_at(b[1]).min(bottom));
            if from >= to {
                continue;
            }
            let slope = (b[0] - a[0]) / (b[1] - a[1]);
            let x = a[0] + slope * (from as f32 + 0.5 - a[1]);
            // Clockwise as the picture is seen, with y down: edges that run down are on the right.
            let side = if down == (turn > 0.0) { &mut self.ends } else { &mut self.starts };
            for (row, end) in (0_i32..).zip(&mut side[from..to]) {
                *end = (first_at(x + slope * row as f32) as u32).min(columns);
            }
        }
    }

    /// Fills the part of a face that lies within one row of pixels.
    #[inline(always)]
    fn fill_line(&mut self, line: usize, rows: std::ops::Range<usize>, slope: Slope, colour: u32) {
        let columns = self.width * self.n;
        let (mut low, mut high) = (columns as u32, 0);
        for (&start, &end) in self.starts[rows.clone()].iter().zip(&self.ends[rows.clone()]) {
            if start < end {
                low = low.min(start);
                high = high.max(end);
            }
        }
        if low >= high {
            return;
        }
        self.touch(line, low as usize, high as usize);
        for row in rows {
            let (start, end) = (self.starts[row] as usize, self.ends[row] as usize);
            if start >= end {
                continue;
            }
            let at_start = slope.at_origin + slope.per_row * row as f32 + slope.per_column * start as f32;
            let span = row * columns + start..;
            fill(
                &mut self.colour[span.clone()],
                &mut self.nearness[span],
                end - start,
                at_start,
                slope.per_column,
                colour,
            );
        }
    }

    /// Sets up the samples of a row of pixels around the columns of samples from `low` to before `high`.
    fn touch(&mut self, line: usize, low: usize, high: usize) {
        let (start, end) = self.touched[line];
        if low >= start * self.n && high <= end * self.n {
            return;
        }
        let (from, to) = (low / self.n, (high - 1) / self.n + 1);
        if start >= end {
            self.touched[line] = (from, to);
            self.expand(line, from, to);
            return;
        }
        self.touched[line] = (start.min(from), end.max(to));
        if from < start {
            self.expand(line, from, start);
        }
        if to > end {
            self.expand(line, end, to);
        }
    }

    /// Gives each sample its pixel's colour, infinitely far.
    #[inline(always)]
    fn expand(&mut self, line: usize, from: usize, to: usize) {
        let n = self.n;
        let columns = self.width * n;
        let pixels = &self.pixels[line * self.width + from..line * self.width + to];
        for row in line * n..(line + 1) * n {
            let span = row * columns + from * n..row * columns + to * n;
            self.nearness[span.clone()].fill(0.0);
            let samples = &mut self.colour[span];
            if n == 2 {
                for (pair, &pixel) in samples.as_chunks_mut::<2>().0.iter_mut().zip(pixels) {
                    *pair = [pixel; 2];
                }
            } else {
                samples.chunks_exact_mut(n).zip(pixels).for_each(|(group, &pixel)| group.fill(pixel));
            }
        }
    }

    /// Averages the samples into their pixels.
    #[inline(always)]
    pub fn resolve(&mut self) {
        let (n, columns) = (self.n, self.width * self.n);
        for (line, &(start, end)) in self.touched.iter().enumerate() {
            if start >= end {
                continue;
            }
            let pixels = &mut self.pixels[line * self.width + start..line * self.width + end];
            let band = &self.colour[line * n * columns..(line + 1) * n * columns];
            if n == 2 {
                let (upper, lower) = band.split_at(columns);
                average_pairs(&upper[2 * start..2 * end], &lower[2 * start..2 * end], pixels);
            } else {
                average(band, columns, n, start, pixels);
            }
        }
    }

    /// The picture as interleaved bytes.
    #[inline(always)]
    pub fn write_rgb(&self, rgb: &mut [u8]) {
        let (fours, rest) = self.pixels[..self.width * self.height].as_chunks::<4>();
        let (twelves, tail) = rgb.as_chunks_mut::<12>();
        for (bytes, &[a, b, c, d]) in twelves.iter_mut().zip(fours) {
            bytes[..4].copy_from_slice(&(a | b << 24).to_le_bytes());
            bytes[4..8].copy_from_slice(&(b >> 8 | c << 16).to_le_bytes());
            bytes[8..].copy_from_slice(&(c >> 16 | d << 8).to_le_bytes());
        }
        for (bytes, pixel) in tail.chunks_exact_mut(3).zip(rest) {
            bytes.copy_from_slice(&pixel.to_le_bytes()[..3]);
        }
    }
}

/// The number of samples whose centre lies before `x`, which is the first one that does not: `x` rounded, at least 0,
/// at most a million, and 0 for what is not a number. By way of a float's low digits, since a portable build has to
/// call for `ceil`, and a checked cast is slow.
#[inline(always)]
pub(super) fn first_at(x: f32) -> usize {
    const SHIFT: f32 = 8_388_608.0;
    ((smaller(larger(x, 0.0), 1e6) + SHIFT).to_bits() & 0x007f_ffff) as usize
}

/// One row of a face's samples, in whole groups of [`GROUP`] and without branches, so that the loop is vectorised;
/// samples behind `len` are left as they are.
#[inline(always)]
fn fill(colours: &mut [u32], nearness: &mut [f32], len: usize, at_start: f32, per_column: f32, colour: u32) {
    let whole = len.next_multiple_of(GROUP);
    let (colours, nearness) = (&mut colours[..whole], &mut nearness[..whole]);
    let len = len as i32;
    for (i, (c, z)) in (0_i32..).zip(colours.iter_mut().zip(nearness)) {
        let near = at_start + per_column * i as f32;
        let wins = u32::from((near > *z) & (i < len)).wrapping_neg();
        *c = *c & !wins | colour & wins;
        *z = f32::from_bits(z.to_bits() & !wins | near.to_bits() & wins);
    }
}

/// 2×2 samples to one pixel, red and blue summed side by side in one word.
#[inline(always)]
fn average_pairs(upper: &[u32], lower: &[u32], pixels: &mut [u32]) {
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for (pixel, (a, b)) in pixels.iter_mut().zip(pairs) {
        let rb = (a[0] & RED_BLUE) + (a[1] & RED_BLUE) + (b[0] & RED_BLUE) + (b[1] & RED_BLUE) + 0x0002_0002;
        let g = (a[0] & GREEN) + (a[1] & GREEN) + (b[0] & GREEN) + (b[1] & GREEN) + 0x0200;
        *pixel = rb >> 2 & RED_BLUE | g >> 2 & GREEN;
    }
}

/// `n`×`n` samples to one pixel, from pixel `start` of a band of `n` rows on.
#[inline(always)]
fn average(band: &[u32], columns: usize, n: usize, start: usize, pixels: &mut [u32]) {
    let share = (n * n) as u32;
    for (x, pixel) in (start..).zip(pixels) {
        let (mut red_blue, mut green) = (0, 0);
        for line in band.chunks_exact(columns) {
            for c in &line[x * n..(x + 1) * n] {
                red_blue += u64::from(c & 0xff) | u64::from(c & 0x00ff_0000) << 16;
                green += c >> 8 & 0xff;
            }
        }
        let round = |sum: u32| (sum + share / 2) / share;
        *pixel = round((red_blue >> 32) as u32) << 16 | round(green) << 8 | round(red_blue as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averaging_takes_each_channel_by_itself() {
        for (n, samples) in [(2, vec![0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0x00ff_ffff]), (1, vec![0x0080_8080])] {
            let mut canvas = Canvas::new(1, 1, n);
            canvas.touch(0, 0, n);
            canvas.colour[..n * n].copy_from_slice(&samples);
            canvas.resolve();
            let mut rgb = [0; 3];
            canvas.write_rgb(&mut rgb);
            assert_eq!(rgb, [128, 128, 128]);
        }
    }

    #[test]
    fn a_nearer_face_hides_a_farther_one_and_leaves_the_rest_as_it_was() {
        let mut canvas = Canvas::new(8, 2, 2);
        canvas.pixels.fill(7);
        let square = |from: f32, to: f32| [[from, 0.0], [to, 0.0], [to, 4.0], [from, 4.0]];
        let flat = |near: f32| Slope { at_origin: near, per_column: 0.0, per_row: 0.0 };
        canvas.fill_face(&square(2.0, 8.0), flat(0.5), 0x10);
        canvas.fill_face(&square(4.0, 14.0), flat(0.25), 0x20);
        canvas.resolve();
        assert_eq!(&canvas.pixels[..8], &[7, 0x10, 0x10, 0x10, 0x20, 0x20, 0x20, 7]);
    }

    #[test]
    fn bytes_come_out_in_the_order_of_rows_and_channels() {
        let mut canvas = Canvas::new(5, 1, 1);
        canvas
            .row_mut(0)
            .iter_mut()
            .zip(0..)
            .for_each(|(p, i)| *p = (3 * i) | ((3 * i + 1) << 8) | ((3 * i + 2) << 16));
        let mut rgb = [0; 15];
        canvas.write_rgb(&mut rgb);
        assert_eq!(rgb.to_vec(), (0..15).collect::<Vec<u8>>());
    }
}
