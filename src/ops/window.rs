//! What convolution and pooling share: windows over the rows and columns of one example `[h, w, channels]`.

use crate::ir::kernel::Window;
use crate::ir::{AttrKind, AttrSpec, Attrs, Mismatch, Signature};
use crate::ty::Shape;

/// The static arguments of windows, each for rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Rows and columns of padding before the input.
    pub low: [usize; 2],
    /// Rows and columns of padding after the input; below 0 where windows leave out its last ones.
    pub high: [i64; 2],
    /// Distance between the taps of a window.
    pub dilation: [usize; 2],
}

impl Default for Windows {
    /// Every window that lies inside, without gaps.
    fn default() -> Windows {
        Windows { stride: [1; 2], low: [0; 2], high: [0; 2], dilation: [1; 2] }
    }
}

/// The attribute for the distance between windows.
pub const STRIDE: AttrSpec =
    AttrSpec { name: "stride", kind: AttrKind::Ints, doc: "distance between windows: rows, columns" };
/// The attribute for the padding before the input.
pub const LOW: AttrSpec =
    AttrSpec { name: "low", kind: AttrKind::Ints, doc: "rows and columns of padding before the input" };
/// The attribute for the padding after the input.
pub const HIGH: AttrSpec = AttrSpec {
    name: "high",
    kind: AttrKind::Ints,
    doc: "rows and columns of padding after the input; below 0: the last ones are left out",
};
/// The attribute for the distance between taps.
pub const DILATION: AttrSpec =
    AttrSpec { name: "dilation", kind: AttrKind::Ints, doc: "distance between the taps of a window" };

/// The largest stride, padding or dilation: products of these still fit in 128 bits.
const LARGEST: i64 = 1 << 31;

/// Two numbers for rows and columns, of at least `least`.
pub fn pair(attrs: &Attrs, name: &str, least: i64) -> Result<[usize; 2], Mismatch> {
    Ok(between(attrs, name, least)?.map(|value| value as usize))
}

/// Two numbers for rows and columns, which may be below 0.
pub fn signed(attrs: &Attrs, name: &str) -> Result<[i64; 2], Mismatch> {
    between(attrs, name, -LARGEST)
}

fn between(attrs: &Attrs, name: &str, least: i64) -> Result<[i64; 2], Mismatch> {
    let values = attrs.get_ints(name);
    let [rows, columns] = values else {
        let message = format!("{name} has {} values; it takes two, for rows and columns", values.len());
        return Err(Mismatch::of(&[], message));
    };
    for value in [rows, columns] {
        if !(least..=LARGEST).contains(value) {
            return Err(Mismatch::of(
                &[],
                format!("{name} is {value}; it is at least {least}, at most {LARGEST}"),
            ));
        }
    }
    Ok([*rows, *columns])
}

impl Windows {
    /// These as attributes, in the order of the records.
    pub fn attrs(&self) -> Attrs {
        Attrs::none()
            .sizes("stride", &self.stride)
            .sizes("low", &self.low)
            .ints("high", self.high)
            .sizes("dilation", &self.dilation)
    }

    /// Reads them from attributes.
    pub fn read(attrs: &Attrs) -> Result<Windows, Mismatch> {
        Ok(Windows {
            stride: pair(attrs, "stride", 1)?,
            low: pair(attrs, "low", 0)?,
            high: signed(attrs, "high")?,
            dilation: pair(attrs, "dilation", 1)?,
        })
    }

    /// The windows of these extents over `[h, w]` of these channels.
    pub fn over(&self, input: [usize; 2], channels: usize, kernel: [usize; 2]) -> Result<Window, Mismatch> {
        let rows = self.count(0, input[0], kernel[0])?;
        let columns = self.count(1, input[1], kernel[1])?;
        Ok(Window {
            input,
            channels,
            output: [rows, columns],
            kernel,
            stride: self.stride,
            dilation: self.dilation,
            pad: self.low,
        })
    }

    /// How many elements of an axis a window spans, gaps included.
    fn span(&self, axis: usize, kernel: usize) -> i128 {
        self.dilation[axis] as i128 * (kernel as i128 - 1) + 1
    }

    fn count(&self, axis: usize, input: usize, kernel: usize) -> Result<usize, Mismatch> {
        let span = self.span(axis, kernel);
        let room = input as i128 + self.low[axis] as i128 + self.high[axis] as i128;
        if span > room {
            let what = ["rows", "columns"][axis];
            let message =
                format!("a window of {span} {what} does not fit into {room} {what}, padding included");
            return Err(Mismatch::of(&[0], message).help("smaller windows, or `same` padding"));
        }
        Ok(((room - span) / self.stride[axis] as i128 + 1) as usize)
    }

    /// That no window of a pool lies wholly in the padding.
    pub fn need_contents(&self, window: &Window) -> Result<(), Mismatch> {
        for axis in 0..2 {
            let (low, high) = (self.low[axis] as i128, self.high[axis].max(0) as i128);
            let span = self.span(axis, window.kernel[axis]);
            let reaches = low.max(high) < span && self.dilation[axis] <= window.input[axis];
            if low + high > 0 && !reaches {
                let message = format!("some windows lie wholly in the padding of {} and {}", low, high);
                return Err(Mismatch::of(&[], message).help("pad by less than the size of a window"));
            }
        }
        Ok(())
    }
}

/// Rows, columns and channels of an input of an op over images.
pub fn image(sig: &Signature, input: usize) -> Result<([usize; 2], usize), Mismatch> {
    super::common::need_f32(sig, input)?;
    match sig.inputs[input].shape[..] {
        [h, w, channels] => Ok(([h, w], channels)),
        _ => {
            let message =
                format!("an image [rows, columns, channels] is needed here, not {}", sig.inputs[input]);
            Err(Mismatch::of(&[input], message))
        }
    }
}

/// Calls a function for every tap of every window that lies inside the input, with the pixel of the
/// result, the pixel of the input and the position in the window, each counted row by row.
pub fn for_each_tap(window: &Window, mut f: impl FnMut(usize, usize, usize)) {
    let inside = |axis: usize, out: usize, tap: usize| {
        let at = out * window.stride[axis] + tap * window.dilation[axis];
        at.checked_sub(window.pad[axis]).filter(|at| *at < window.input[axis])
    };
    for oy in 0..window.output[0] {
        for ox in 0..window.output[1] {
            for ky in 0..window.kernel[0] {
                let Some(y) = inside(0, oy, ky) else { continue };
                for kx in 0..window.kernel[1] {
                    let Some(x) = inside(1, ox, kx) else { continue };
                    f(oy * window.output[1] + ox, y * window.input[1] + x, ky * window.kernel[1] + kx);
                }
            }
        }
    }
}

/// `[rows, columns, channels]` as a shape, if it is one.
pub fn image_shape([h, w]: [usize; 2], channels: usize) -> Result<Shape, Mismatch> {
    let extent = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    super::common::shape_of(&[extent(h), extent(w), extent(channels)])
}
