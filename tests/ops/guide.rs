//! `docs/ADDING_AN_OP.md` shows code of the repository: each block says of which file, and must stand there.

use std::fs;
use std::path::Path;

#[test]
fn code_in_the_guide_is_that_of_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/ADDING_AN_OP.md")).expect("the guide");
    let mut blocks = 0;
    for block in guide.split("```rust ").skip(1) {
        let (path, rest) = block.split_once('\n').expect("a path after the fence");
        let (code, _) = rest.split_once("```").expect("a closing fence");
        let file = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(file.contains(code), "{path} no longer contains:\n{code}");
        blocks += 1;
    }
    assert!(blocks >= 5, "the guide shows {blocks} pieces of code");
}
