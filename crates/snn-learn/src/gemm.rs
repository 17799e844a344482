//! Matrix products of the dense baseline, by `faer`: one thread, row-major, accumulating.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};
use snn_sparse::Scalar;

/// A number that dense methods can multiply in bulk: `f32` or `f64`.
pub trait Field: Scalar + ComplexField {}
impl Field for f32 {}
impl Field for f64 {}

/// `rows × columns` numbers, rows `stride` apart.
pub fn matrix<F>(data: &[F], rows: usize, columns: usize, stride: usize) -> MatRef<'_, F> {
    MatRef::from_row_major_slice_with_stride(data, rows, columns, stride)
}

/// As [`matrix`], to write.
pub fn matrix_mut<F>(data: &mut [F], rows: usize, columns: usize, stride: usize) -> MatMut<'_, F> {
    // `from_row_major_slice_with_stride_mut` of faer 0.24.4 forgets to transpose, and then writes out of bounds.
    MatMut::from_column_major_slice_with_stride_mut(data, columns, rows, stride).transpose_mut()
}

/// `c += a·b`.
pub fn add_product<F: Field>(c: MatMut<'_, F>, a: MatRef<'_, F>, b: MatRef<'_, F>) {
    matmul(c, Accum::Add, a, b, <F as snn_core::Real>::of(1.0), Par::Seq);
}

/// Solves `a·x = b` for a square, row-major `a`, by elimination with partial pivoting; `b` becomes `x`. Of a singular `a` the result is no number. Cost: n³/3 multiplications.
pub fn solve(a: &[f64], b: &mut [f64]) {
    use faer::linalg::solvers::Solve;
    let n = b.len();
    let lu = matrix(a, n, n, n).partial_piv_lu();
    lu.solve_in_place(faer::mat::MatMut::from_column_major_slice_mut(b, n, 1));
}
