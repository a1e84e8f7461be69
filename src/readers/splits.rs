//! Shares of a table's rows: which rows belong to `train`, which to `test`. A function of the seed alone.

use std::collections::HashSet;

use super::{DataError, Rows, Split};
use crate::base::Exit;
use crate::kernels::random::Generator;

/// The random stream of splits. Streams of graphs are small numbers; orders of epochs have `u64::MAX`.
const SPLIT_STREAM: u64 = u64::MAX - 1;

/// How much of a table a split gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// A part of all rows: above 0, at most 1.
    Fraction(f64),
    /// So many rows.
    Rows(usize),
}

/// Divides the rows at random. Rows of a split stand in the order of the file. Without shares, all rows are
/// one split, `all`.
///
/// # Errors
/// Shares that are not positive or sum to more than everything, splits without rows, names used twice.
pub fn divide(rows: usize, shares: &[(String, Share)], seed: u64) -> Result<Vec<Split>, DataError> {
    if shares.is_empty() {
        return Ok(vec![Split { name: "all".to_string(), rows: Rows::Range(0..rows) }]);
    }
    let counts = counts(rows, shares, "rows")?;
    let mut order: Vec<u32> = (0..rows).map(|row| row as u32).collect();
    shuffle(&mut order, Generator::new(seed, SPLIT_STREAM, 0, 0));
    let mut rest = order.as_slice();
    let mut splits = Vec::new();
    for ((name, _), count) in shares.iter().zip(counts) {
        let (mine, others) = rest.split_at(count);
        let mut mine = mine.to_vec();
        mine.sort_unstable();
        splits.push(Split { name: name.clone(), rows: Rows::List(mine) });
        rest = others;
    }
    Ok(splits)
}

/// The shuffle of Fisher and Yates.
pub fn shuffle(items: &mut [u32], random: Generator) {
    for i in (1..items.len()).rev() {
        let draw = u64::from(random.bits(2 * i as u64)) << 32 | u64::from(random.bits(2 * i as u64 + 1));
        // The high part of the product is uniform to within 2^-32 for any number of rows.
        items.swap(i, ((u128::from(draw) * (i as u128 + 1)) >> 64) as usize);
    }
}

fn refuse(message: String) -> DataError {
    DataError { exit: Exit::Spec, ..DataError::new(message) }
}

/// How many rows (or what else `unit` names) each share is; their sum is at most `rows`.
///
/// # Errors
/// As [`divide`].
pub fn counts(rows: usize, shares: &[(String, Share)], unit: &str) -> Result<Vec<usize>, DataError> {
    let mut names = HashSet::new();
    let mut counts = Vec::new();
    let mut fractions = 0.0;
    for (name, share) in shares {
        if !names.insert(name) {
            return Err(refuse(format!("two splits have the name `{name}`")));
        }
        counts.push(match *share {
            Share::Rows(count) => count,
            Share::Fraction(part) if part > 0.0 && part <= 1.0 => {
                // The ends are rounded, not the lengths: fractions that sum to 1 leave no row out.
                let start = at(fractions, rows);
                fractions += part;
                at(fractions, rows) - start
            }
            Share::Fraction(part) => {
                return Err(refuse(format!("split `{name}` has a share of {part}")).help(format!(
                    "a share is a number of {unit}, or a part above 0 and at most 1, such as 80%"
                )));
            }
        });
    }
    if fractions > 1.0 + 1e-9 {
        return Err(refuse(format!("the splits' shares sum to {}%", (fractions * 1e4).round() / 1e2))
            .help("shares sum to at most 100%"));
    }
    let total = counts.iter().fold(0usize, |sum, count| sum.saturating_add(*count));
    if total > rows {
        return Err(refuse(format!("the splits ask for {total} {unit}; the data has {rows}")));
    }
    match shares.iter().zip(&counts).find(|(_, count)| **count == 0) {
        Some(((name, _), _)) => {
            Err(refuse(format!("split `{name}` gets none of the {rows} {unit}"))
                .help("give it a larger share"))
        }
        None => Ok(counts),
    }
}

fn at(fraction: f64, rows: usize) -> usize {
    ((fraction * rows as f64).round() as usize).min(rows)
}
