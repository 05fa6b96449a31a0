//! The two fixed position tables: sine and cosine over a line of tokens, and over the rows and columns of an image.

use super::PolicyError;
use candle_core::{Device, Tensor};

/// The transformer's table for positions 0..count: angle = position / 10000^(2·⌊i/2⌋/D), sine at even, cosine at
/// odd features (Vaswani et al., 2017). Computed in f64 like LeRobot's.
///
/// # Shapes
/// → `[count, D]`
pub fn line(count: usize, d: usize) -> Result<Tensor, PolicyError> {
    let values = (0..count).flat_map(|position| waves(position as f64, d)).collect();
    Ok(Tensor::from_vec(values, (count, d), &Device::Cpu)?)
}

/// DETR's table for the pixels of a feature map, row-major: the first half of the features encodes the row, the
/// second the column; positions count from 1 and are scaled to 2π over the side (Carion et al., 2020).
///
/// # Shapes
/// → `[height·width, D]`
pub fn plane(height: usize, width: usize, d: usize) -> Result<Tensor, PolicyError> {
    let scaled = |index: usize, side: usize| (index + 1) as f64 / (side as f64 + 1e-6) * std::f64::consts::TAU;
    let mut values = Vec::with_capacity(height * width * d);
    for y in 0..height {
        for x in 0..width {
            values.extend(waves(scaled(y, height), d / 2));
            values.extend(waves(scaled(x, width), d / 2));
        }
    }
    Ok(Tensor::from_vec(values, (height * width, d), &Device::Cpu)?)
}

fn waves(position: f64, d: usize) -> impl Iterator<Item = f32> {
    (0..d).map(move |i| {
        let angle = position / 10_000_f64.powf((2 * (i / 2)) as f64 / d as f64);
        (if i % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_starts_at_zero_and_alternates_sine_and_cosine() {
        let table = line(2, 4).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(table[0], [0.0, 1.0, 0.0, 1.0]);
        assert!((table[1][0] - 1.0_f32.sin()).abs() < 1e-6 && (table[1][2] - 0.01_f32.sin()).abs() < 1e-6);
    }

    #[test]
    fn plane_puts_rows_before_columns_and_counts_from_one() {
        let table = plane(2, 3, 8).unwrap().to_vec2::<f32>().unwrap();
        // Pixel (0, 2): row 1 of 2 is π, column 3 of 3 is 2π.
        let (pi, tau) = (std::f32::consts::PI, std::f32::consts::TAU);
        let wanted = [pi.sin(), pi.cos(), (pi / 100.0).sin(), (pi / 100.0).cos()];
        for (got, wanted) in table[2][..4].iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-5, "{got} {wanted}");
        }
        assert!((table[2][6] - (tau / 100.0).sin()).abs() < 1e-5);
    }
}
