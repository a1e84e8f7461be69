//! `nnc predict --png`, and inputs that are random numbers.

use super::{OK, Place, RESOURCES, USAGE};

const DRAWS: &str = "\
data digits = mnist()

model Read(image: f32[28, 28, 1]) -> f32[2] { image |> flatten |> dense(2) }

model Draw(z: f32[6]) -> f32[3, 2, 1] {
  param scale: f32[6] = constant(0.5)
  reshape(scale * z + 0.5, [3, 2, 1])
}

train {
  batch 64 from digits.train
  minimize sum(Read(digits.image)^2) + sum(Draw(random_normal(6))^2)
  optimizer sgd(lr: 0)
  steps 1
}
";

fn drawn() -> Place {
    let place = Place::new();
    place.write("draw.nn", DRAWS);
    place.nnc(&["run", "draw.nn", "--out", "x"]).exits(OK);
    place
}

/// The pixels of a grey PNG with its width.
fn pixels(place: &Place, name: &str) -> (Vec<u8>, usize) {
    let bytes = place.read(name);
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("its size")];
    let frame = reader.next_frame(&mut pixels).expect("an image");
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    pixels.truncate(frame.buffer_size());
    (pixels, frame.width as usize)
}

#[test]
fn random_inputs_are_normal_and_follow_the_seed() {
    let place = drawn();
    let values = |more: &[&str]| -> Vec<f64> {
        let args = [&["predict", "x", "--model", "Draw", "--random", "z", "--json"], more].concat();
        let rows = place.nnc(&args).exits(OK).lines();
        rows.iter()
            .flat_map(|r| r["output"].as_array().expect("a list").clone())
            .filter_map(|v| v.as_f64())
            .collect()
    };
    assert_eq!(values(&[]).len(), 64 * 6);
    let many: Vec<f64> = values(&["--limit", "2000"]).iter().map(|v| 2.0 * v - 1.0).collect();
    let mean = many.iter().sum::<f64>() / many.len() as f64;
    let variance = many.iter().map(|v| v * v).sum::<f64>() / many.len() as f64;
    assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    assert_eq!(values(&["--limit", "3"]), values(&["--limit", "3"]));
    assert_eq!(values(&["--limit", "3"])[..6], values(&["--limit", "1"])[..]);
    assert_ne!(values(&["--limit", "3"]), values(&["--limit", "3", "--seed", "1"]));
}

#[test]
fn more_random_inputs_than_there_is_memory_are_refused() {
    let place = Place::new();
    let wide = DRAWS.replace("z: f32[6]", "z: f32[1_000_000]").replace("scale * z", "scale * z[..6]");
    place.write(
        "wide.nn",
        wide.replace("random_normal(6)", "random_normal(1_000_000)").replace("64 from", "2 from"),
    );
    place.nnc(&["run", "wide.nn", "--out", "x"]).exits(OK);
    let draw = ["predict", "x", "--model", "Draw", "--random", "z", "--limit", "99999999999"];
    place.nnc(&draw).exits(RESOURCES).says("--limit 64");
}

#[test]
fn images_stand_in_rows_and_columns() {
    let place = drawn();
    let draw = ["predict", "x", "--model", "Draw", "--random", "z", "--limit", "5"];
    place.nnc(&[&draw[..], &["--png", "d.png"]].concat()).exits(OK).prints("5 images");
    let rows = place.nnc(&[&draw[..], &["--json"]].concat()).exits(OK).lines();
    let (pixels, width) = pixels(&place, "d.png");
    // Three columns and two rows of images of 3 by 2 pixels, two pixels between them.
    assert_eq!((width, pixels.len()), (3 * 2 + 2 * 2, (3 * 2 + 2 * 2) * (2 * 3 + 2)));
    for (i, row) in rows.iter().enumerate() {
        for (at, value) in row["output"].as_array().expect("a list").iter().enumerate() {
            let (y, x) = (i / 3 * 5 + at / 2, i % 3 * 4 + at % 2);
            let expected = (value.as_f64().expect("a number").clamp(0.0, 1.0) * 255.0).round();
            assert_eq!(f64::from(pixels[y * width + x]), expected, "image {i}, pixel {at}");
        }
    }
}

#[test]
fn what_is_no_image_or_no_number_is_refused() {
    let place = drawn();
    place.nnc(&["predict", "x", "--model", "Read", "--png", "r.png"]).exits(USAGE).says("f32[2]");
    place
        .nnc(&["predict", "x", "--model", "Draw", "--random", "zz"])
        .exits(USAGE)
        .says("there is no input `zz`");
    place.nnc(&["predict", "x", "--model", "Draw"]).exits(USAGE).says("--random z");
    let both = ["predict", "x", "--model", "Draw", "--random", "z", "--on", "digits.test"];
    place.nnc(&both).exits(USAGE).says("--on");
}
