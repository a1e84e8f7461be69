//! Results that are images, side by side in one PNG file.

use std::path::Path;

use crate::base::{Diagnostic, Exit};
use crate::readers::safetensors::write_whole;
use crate::train::weights::diagnostic;
use crate::ty::{DType, Type};

/// Pixels between two images.
const GAP: usize = 2;

/// The size of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    height: usize,
    width: usize,
    /// 1 for grey, 3 for red, green and blue.
    channels: usize,
}

/// The size of the images that a model gives.
///
/// # Errors
/// A result that is no image.
pub fn size(model: &str, ty: &Type) -> Result<Size, Diagnostic> {
    let extents: Vec<usize> = ty.shape.iter().copied().collect();
    match (ty.dtype, &extents[..]) {
        (DType::F32, [height, width]) => Ok(Size { height: *height, width: *width, channels: 1 }),
        (DType::F32, [height, width, channels @ (1 | 3)]) => {
            Ok(Size { height: *height, width: *width, channels: *channels })
        }
        _ => Err(Diagnostic::error(
            "no-image",
            format!("the results of {model} are {ty}: these are no images"),
        )
        .exit(Exit::Usage)
        .help("an image is f32[h, w], f32[h, w, 1] or f32[h, w, 3], from 0 to 1")),
    }
}

/// Writes images as one: about as many columns as rows. Values below 0 and above 1 are black and white.
///
/// # Errors
/// A disk that does not take the file, and more pixels than a PNG can have.
pub fn write(path: &Path, size: Size, images: &[Vec<f64>]) -> Result<(), Diagnostic> {
    let Size { height, width, channels } = size;
    let columns = (1..=images.len()).find(|n| n * n >= images.len()).unwrap_or(1);
    let rows = images.len().div_ceil(columns);
    let (across, down) = (columns * (width + GAP) - GAP, rows.max(1) * (height + GAP) - GAP);
    let mut pixels = vec![0u8; across * down * channels];
    for (i, image) in images.iter().enumerate() {
        let (top, left) = (i / columns * (height + GAP), i % columns * (width + GAP));
        for (y, line) in image.chunks(width * channels).enumerate() {
            let start = ((top + y) * across + left) * channels;
            for (pixel, value) in pixels[start..].iter_mut().zip(line) {
                // A cast from a float to a byte stops at the ends of its range.
                *pixel = (value * 255.0).round() as u8;
            }
        }
    }
    let refuse =
        |why: String| Diagnostic::error("output", format!("{}: {why}", path.display())).exit(Exit::Resources);
    let extent =
        |n: usize| u32::try_from(n).map_err(|_| refuse(format!("an image of {across} by {down} pixels")));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, extent(across)?, extent(down)?);
    encoder.set_color(if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| refuse(error.to_string()))?;
    writer.write_image_data(&pixels).map_err(|error| refuse(error.to_string()))?;
    writer.finish().map_err(|error| refuse(error.to_string()))?;
    write_whole(path, &bytes).map_err(diagnostic)
}
