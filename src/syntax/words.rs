//! The words that statements start with, where they belong, and what people write instead of them.

/// The kinds of places that statements stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Outside of all braces.
    Top,
    /// In the braces of `train`.
    Train,
    /// In the braces of `data`.
    Data,
    /// In the body of a definition, or in braces inside it.
    Body,
}

impl Place {
    /// The words that start a statement here.
    pub fn keywords(self) -> &'static [&'static str] {
        match self {
            Place::Top => &["use", "let", "seed", "data", "layer", "model", "optimizer", "train"],
            Place::Train => &[
                "batch",
                "let",
                "minimize",
                "optimizer",
                "epochs",
                "steps",
                "measure",
                "stop",
                "save",
                "sample",
                "reduce",
                "clip",
                "accumulate",
                "ema",
                "swa",
                "seed",
            ],
            Place::Data => &["split", "tokens", "window"],
            Place::Body => &["let", "param", "state", "update", "for", "if", "yield"],
        }
    }

    /// In words, after `in`.
    pub fn name(self) -> &'static str {
        match self {
            Place::Top => "at the top of a file",
            Place::Train => "in a `train` block",
            Place::Data => "in a `data` block",
            Place::Body => "in a layer's body",
        }
    }

    /// Where `word` would start a statement.
    pub fn of(word: &str) -> Option<Place> {
        [Place::Top, Place::Train, Place::Body, Place::Data]
            .into_iter()
            .find(|p| p.keywords().contains(&word))
    }
}

/// Words that cannot be names.
pub const RESERVED: [&str; 12] =
    ["let", "param", "state", "update", "for", "if", "else", "true", "false", "and", "or", "not"];

/// Statements of the language's design that this version does not have, with what they are for.
const NOT_YET: [(&str, &str); 15] = [
    ("sweep", "runs over several settings"),
    ("export", "export to other formats"),
    ("freeze", "frozen parameters"),
    ("adapt", "adapters such as LoRA"),
    ("merge", "adapters such as LoRA"),
    ("retain", "continual learning"),
    ("prune", "pruning"),
    ("quantize", "quantisation"),
    ("augment", "data augmentation"),
    ("where", "selecting rows of data"),
    ("take", "selecting rows of data"),
    ("without", "selecting rows of data"),
    ("into", "streams of tasks"),
    ("each", "streams of tasks"),
    ("quantized", "quantisation"),
];

/// What a word is for that the language does not have yet.
pub fn not_yet(word: &str) -> Option<&'static str> {
    NOT_YET.iter().find(|(name, _)| *name == word).map(|(_, purpose)| *purpose)
}

/// What is written here instead of a word from another language.
pub fn instead(place: Place, word: &str) -> Option<&'static str> {
    Some(match (place, word) {
        (_, "return") => "leave `return` out: the last expression of a block is its value",
        (_, "const" | "var" | "set" | "val") => "values are named with `let x = ...`",
        (Place::Top, "import" | "include" | "from" | "require") => {
            "another file is read with `use \"file.nn\"`"
        }
        (Place::Top, "def" | "fn" | "func" | "function" | "class") => {
            "functions and layers are written `layer name(arguments) { ... }`"
        }
        (Place::Top, "net" | "network" | "module") => "a network is written `model Name(inputs) { ... }`",
        (Place::Top, "dataset") => "data is declared with `data name = reader(...)`",
        (Place::Top, "fit" | "stage" | "training") => "training is written `train name { ... }`",
        (Place::Train, "loss" | "objective" | "maximize" | "criterion") => {
            "what training makes small is written `minimize EXPRESSION`"
        }
        (Place::Train, "metric" | "metrics" | "eval" | "evaluate" | "report") => {
            "metrics are written `measure EXPRESSION on data.split`"
        }
        (Place::Train, "batch_size") => "the batch is written `batch 64 from data.train`",
        (Place::Train, "iterations" | "max_steps") => "the length is written `steps 1000` or `epochs 10`",
        (Place::Train, "lr" | "learning_rate") => {
            "the learning rate is an argument of the optimizer: `optimizer adam(lr: 1e-3)`"
        }
        (Place::Body, "while" | "loop") => "loops have a fixed length: `for i in 0..n { ... }`",
        (Place::Body, "weight" | "parameter") => "a trained tensor is written `param w: f32[n] = zeros()`",
        _ => return None,
    })
}
