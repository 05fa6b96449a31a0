//! Matrix products on slices: the one place where the `gemm` crate is called.

use gemm::Parallelism;

/// A matrix that lies in a slice: element (i, j) is `data[i * row + j * column]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows `row` numbers apart, each row contiguous.
    pub fn rows(data: &'a [f32], row: usize) -> Self {
        Self { data, row, column: 1 }
    }

    /// The transpose of [`Matrix::rows`].
    pub fn transposed(data: &'a [f32], row: usize) -> Self {
        Self { data, row: 1, column: row }
    }

    fn check(&self, rows: usize, columns: usize) {
        assert!(last_index(rows, columns, self.row, self.column) < self.data.len(), "matrix reaches past its slice");
    }
}

fn last_index(rows: usize, columns: usize, row: usize, column: usize) -> usize {
    (rows - 1) * row + (columns - 1) * column
}

/// What happens to the numbers that are already in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `out[m, n] = left[m, k] · right[k, n]` (or `+=`), on this thread alone; rows of `out` are `out_row` apart.
///
/// # Panics
/// When a matrix reaches past its slice or rows of the output overlap: a defect of the calling operation.
pub fn matmul(
    (m, n, k): (usize, usize, usize),
    left: Matrix<'_>,
    right: Matrix<'_>,
    out: &mut [f32],
    out_row: usize,
    output: Output,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(k > 0 && out_row >= n, "empty product or overlapping rows");
    left.check(m, k);
    right.check(k, n);
    assert!(last_index(m, n, out_row, 1) < out.len(), "output reaches past its slice");
    // SAFETY: the three asserts above place every index that gemm forms, (rows − 1)·row + (columns − 1)·column at
    // most, inside its slice; `out` is borrowed mutably, so it overlaps neither operand; strides of slices fit isize.
    #[expect(unsafe_code, reason = "gemm takes raw pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            output == Output::Add,
            left.data.as_ptr(),
            left.column as isize,
            left.row as isize,
            right.data.as_ptr(),
            right.column as isize,
            right.row as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The product as rows appended to `out`, which holds nothing but whole rows of it; saves clearing them first.
pub fn append_matmul((m, n, k): (usize, usize, usize), left: Matrix<'_>, right: Matrix<'_>, out: &mut Vec<f32>) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(k > 0, "empty product");
    left.check(m, k);
    right.check(k, n);
    let len = out.len();
    out.reserve_exact(m * n);
    // SAFETY: operands as in `matmul`. The output is the m·n numbers of spare capacity just reserved: gemm with
    // `read_dst` false writes every one of them (row stride n, column stride 1) and reads none, so all `len + m·n`
    // numbers are initialised when the length is set.
    #[expect(unsafe_code, reason = "gemm takes raw pointers and fills spare capacity")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr().add(len),
            1,
            n as isize,
            false,
            left.data.as_ptr(),
            left.column as isize,
            left.row as isize,
            right.data.as_ptr(),
            right.column as isize,
            right.row as isize,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
        out.set_len(len + m * n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_transposes_and_adds() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut out = [10.0; 4];
        matmul((2, 2, 3), Matrix::rows(&a, 3), Matrix::transposed(&a, 3), &mut out, 2, Output::Add);
        assert_eq!(out, [24.0, 42.0, 42.0, 87.0]);
        matmul((2, 2, 3), Matrix::rows(&a, 3), Matrix::transposed(&a, 3), &mut out, 2, Output::Replace);
        assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
    }

    #[test]
    fn appended_products_follow_each_other() {
        let a = [1.0, 2.0, 3.0, 4.0];
        let mut out = Vec::new();
        append_matmul((2, 1, 2), Matrix::rows(&a, 2), Matrix::rows(&[1.0, 1.0], 1), &mut out);
        append_matmul((1, 1, 2), Matrix::rows(&a[2..], 2), Matrix::rows(&[2.0, 1.0], 1), &mut out);
        assert_eq!(out, [3.0, 7.0, 10.0]);
    }

    #[test]
    #[should_panic(expected = "matrix reaches past its slice")]
    fn a_matrix_past_its_slice_is_a_defect() {
        matmul((2, 1, 2), Matrix::rows(&[0.0; 3], 2), Matrix::rows(&[0.0; 2], 1), &mut [0.0; 2], 1, Output::Replace);
    }
}
