//! Transposed copies against an index computed for each element.

use nnc::kernels::transpose::transpose;

#[test]
fn every_element_goes_to_its_place() {
    for rows in [1, 2, 7, 8, 9, 15, 16, 17, 40] {
        for columns in [1, 3, 8, 9, 16, 23, 33] {
            for (row, column) in [(1, rows), (1, rows + 3), (columns, 1), (2 * columns + 1, 2)] {
                let len = (rows - 1) * row + (columns - 1) * column + 1;
                let from: Vec<f32> = (0..len).map(|i| i as f32).collect();
                let mut to = vec![-1.0; rows * columns + 5];
                // SAFETY: `from` ends with the last element.
                unsafe { transpose(from.as_ptr(), row, column, rows, columns, &mut to) };
                for i in 0..rows {
                    for j in 0..columns {
                        assert_eq!(to[i * columns + j], (i * row + j * column) as f32);
                    }
                }
                assert_eq!(to[rows * columns..], [-1.0; 5]);
            }
        }
    }
}
