//! What `simplify` makes of sums of parts.

use super::passes::{shown, simplified};

#[test]
fn simplify_sums_the_parts_that_are_known_before_the_whole() {
    // As the gradient of a normalization: %9 waits for %3 though its parts do not; %12 has nothing to gain.
    insta::assert_snapshot!(shown(
        "simplify",
        "%0 = input {index: 0} : each f32[6, 3]
         %1 = variable {id: 0} : once f32[3]
         %2 = sum %0 {axes: [0]} : each f32[3]
         %3 = batch_sum %2 : once f32[3]
         %4 = broadcast %3 : once f32[6, 3]
         %5 = sub %0, %4 : each f32[6, 3]
         %6 = broadcast %1 : once f32[6, 3]
         %7 = mul %5, %6 : each f32[6, 3]
         %8 = sum %7 {axes: [0]} : each f32[3]
         %9 = batch_sum %8 : once f32[3]
         %10 = mul %5, %5 : each f32[6, 3]
         %11 = sum %10 {axes: [0]} : each f32[3]
         %12 = batch_sum %11 : once f32[3]
         output total = %9
         output squares = %12"
    ));
}

#[test]
fn simplify_takes_squares_about_the_mean_of_each_example() {
    // As the variance of a normalization; the sums go over a reshape of rows and columns to pixels.
    insta::assert_snapshot!(shown(
        "simplify",
        "%0 = input {index: 0} : each f32[4, 3, 2]
         %1 = reshape %0 : each f32[12, 2]
         %2 = sum %1 {axes: [0]} : each f32[2]
         %3 = batch_sum %2 : once f32[2]
         %4 = broadcast %3 : once f32[4, 3, 2]
         %5 = sub %0, %4 : each f32[4, 3, 2]
         %6 = mul %5, %5 : each f32[4, 3, 2]
         %7 = reshape %6 : each f32[12, 2]
         %8 = sum %7 {axes: [0]} : each f32[2]
         %9 = batch_sum %8 : once f32[2]
         %10 = reduce_max %7 {axes: [0]} : each f32[2]
         output squares = %9
         output largest = %10"
    ));
}

#[test]
fn simplify_lets_each_product_add_up_the_batch() {
    insta::assert_snapshot!(simplified(
        "%2 = mul %0, %0 : each f32[3, 4]
         %3 = contract %0, %2 {formula: \"k m, k n -> m n\"} : each f32[4, 4]
         %4 = contract %2, %2 {formula: \"k m, k n -> m n\"} : each f32[4, 4]
         %5 = contract %0, %0 {formula: \"k m, k n -> m n\"} : each f32[4, 4]
         %6 = add %3, %4 : each f32[4, 4]
         %7 = add %6, %5 : each f32[4, 4]
         %8 = batch_sum %7 : once f32[4, 4]
         %9 = tanh %2 : each f32[3, 4]
         %10 = add %0, %9 : each f32[3, 4]
         %11 = batch_sum %10 : once f32[3, 4]
         output products = %8
         output others = %11"
    ));
}

#[test]
fn simplify_puts_parts_in_zeros_side_by_side() {
    insta::assert_snapshot!(simplified(
        "%2 = slice %0 {start: [0, 1], extent: [3, 2], stride: [1, 1]} : each f32[3, 2]
         %3 = tanh %2 : each f32[3, 2]
         %4 = exp %0 : each f32[3, 4]
         %5 = pad %3 {low: [0, 6], high: [0, 0], fill: 0.0} : each f32[3, 8]
         %6 = pad %3 {low: [0, 0], high: [0, 6], fill: 0.0} : each f32[3, 8]
         %7 = pad %4 {low: [0, 2], high: [0, 2], fill: 0.0} : each f32[3, 8]
         %8 = add %5, %6 : each f32[3, 8]
         %9 = add %8, %7 : each f32[3, 8]"
    ));
}

#[test]
fn simplify_leaves_parts_with_gaps_or_fills() {
    insta::assert_snapshot!(simplified(
        "%2 = pad %0 {low: [0, 4], high: [0, 1], fill: 0.0} : each f32[3, 9]
         %3 = pad %0 {low: [0, 0], high: [0, 5], fill: 0.0} : each f32[3, 9]
         %4 = add %2, %3 : each f32[3, 9]
         %5 = pad %4 {low: [0, 0], high: [0, 9], fill: 0.5} : each f32[3, 18]
         %6 = pad %4 {low: [0, 9], high: [0, 0], fill: 0.0} : each f32[3, 18]
         %7 = add %5, %6 : each f32[3, 18]"
    ));
}
