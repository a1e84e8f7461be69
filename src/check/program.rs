//! The texts of an experiment: the main file, the files it uses, the library; and their top-level names.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::library;
use crate::base::{Diagnostic, Exit, FileId, Sources, Span, limits};
use crate::syntax::{self, ast};

/// An item at the top of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemRef {
    pub module: usize,
    pub item: usize,
}

/// One parsed file of the user's.
pub struct Module {
    pub ast: ast::File,
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
    /// Its own names and those it takes from other files.
    pub names: HashMap<String, ItemRef>,
}

/// The files of an experiment. The main file is module 0; the files of the library come behind those of the user's.
#[derive(Default)]
pub struct Program {
    pub sources: Sources,
    pub modules: Vec<Module>,
    /// The files of the library, each parsed when one of its items is asked for.
    library: Vec<(FileId, OnceCell<ast::File>)>,
    /// The values of `--set`.
    pub overrides: Vec<(String, ast::Expr)>,
    /// Loaded files by their full path.
    by_path: HashMap<PathBuf, usize>,
    /// The folder that all paths must stay in.
    root: PathBuf,
    allow_outside: bool,
}

/// The name that an item binds, with its place.
pub fn name_of(item: &ast::Item) -> Option<&crate::base::Ident> {
    match item {
        ast::Item::Let(item) => match &item.pattern {
            ast::Pattern::Name(name) => Some(name),
            ast::Pattern::List(..) => None,
        },
        ast::Item::Data(data) => Some(&data.name),
        ast::Item::Def(def) => Some(&def.name),
        ast::Item::Use(_) | ast::Item::Seed(_) | ast::Item::Train(_) => None,
    }
}

impl Program {
    /// Reads the main file with everything it uses, and the library.
    pub fn load(
        path: &Path,
        text: Option<String>,
        allow_outside: bool,
        out: &mut Vec<Diagnostic>,
    ) -> Program {
        let mut program = Program { allow_outside, ..Program::default() };
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        program.root = full(&folder);
        let text = match text.map_or_else(|| read(path), Ok) {
            Ok(text) => text,
            Err(why) => {
                out.push(
                    Diagnostic::error("no-file", format!("{}: {why}", path.display())).exit(Exit::Usage),
                );
                return program;
            }
        };
        program.module(path.to_path_buf(), folder, text, out, 0);
        for (name, text) in library::FILES {
            let file = program.sources.add(PathBuf::from(name), text.to_string(), true);
            program.library.push((file, OnceCell::new()));
        }
        program
    }

    /// The item that a reference names.
    pub fn item(&self, at: ItemRef) -> Option<&ast::Item> {
        let tree = match at.module.checked_sub(self.modules.len()) {
            None => &self.modules[at.module].ast,
            Some(file) => self.library_file(file)?,
        };
        tree.items.get(at.item)
    }

    fn library_file(&self, number: usize) -> Option<&ast::File> {
        let ((file, tree), (_, text)) = (self.library.get(number)?, library::FILES.get(number)?);
        Some(
            tree.get_or_init(|| {
                syntax::parse(*file, text).expect("the library parses: a test reads all of it")
            }),
        )
    }

    fn library_item(&self, name: &str) -> Option<ItemRef> {
        let [file, item] = *library::NAMES.get(name)?;
        Some(ItemRef { module: self.modules.len() + file, item })
    }

    /// What a top-level name means in a module: its own names first, then the library's.
    pub fn find(&self, module: usize, name: &str) -> Option<ItemRef> {
        let own = self.modules.get(module).and_then(|m| m.names.get(name));
        own.copied().or_else(|| self.library_item(name))
    }

    /// The top-level names that a module sees.
    pub fn names(&self, module: usize) -> impl Iterator<Item = &str> {
        let own = self.modules.get(module).into_iter().flat_map(|m| m.names.keys());
        own.map(String::as_str).chain(library::NAMES.keys().copied())
    }

    /// Whether a place is in the library.
    pub fn in_library(&self, span: Span) -> bool {
        self.sources.get(span.file).is_some_and(|source| source.library)
    }

    /// Where a path of a spec leads, if that is allowed.
    pub fn resolve(&self, module: usize, path: &str) -> Result<PathBuf, String> {
        let folder = self.modules.get(module).map_or(Path::new(""), |m| &m.folder);
        let target = folder.join(path);
        if !self.allow_outside && !full(&target).starts_with(&self.root) {
            return Err("this path leads out of the folder of the experiment".to_string());
        }
        Ok(target)
    }

    fn module(
        &mut self,
        path: PathBuf,
        folder: PathBuf,
        text: String,
        out: &mut Vec<Diagnostic>,
        depth: usize,
    ) -> Option<usize> {
        let file = self.sources.add(path.clone(), text.clone(), false);
        let ast = match syntax::parse(file, &text) {
            Ok(ast) => ast,
            Err(problems) => {
                out.extend(problems);
                return None;
            }
        };
        let module = self.modules.len();
        self.by_path.insert(full(&path), module);
        let mut names: HashMap<String, ItemRef> = HashMap::new();
        for (item, node) in ast.items.iter().enumerate() {
            let Some(name) = name_of(node) else { continue };
            if let Some(first) = names.get(&name.name).and_then(|at| ast.items.get(at.item)).and_then(name_of)
            {
                out.push(
                    Diagnostic::error("defined-twice", format!("`{}` is defined twice", name.name))
                        .label(name.span, "the second time")
                        .label(first.span, "the first time")
                        .help("rename one of them"),
                );
                continue;
            }
            names.insert(name.name.clone(), ItemRef { module, item });
        }
        let uses: Vec<ast::Use> = ast
            .items
            .iter()
            .filter_map(|item| if let ast::Item::Use(used) = item { Some(used.clone()) } else { None })
            .collect();
        self.modules.push(Module { ast, folder, names });
        for used in uses {
            self.take(module, &used, out, depth);
        }
        Some(module)
    }

    /// Carries out one `use`.
    fn take(&mut self, module: usize, used: &ast::Use, out: &mut Vec<Diagnostic>, depth: usize) {
        let Some(from) = self.open(module, used, out, depth) else { return };
        let theirs = self.modules[from].names.clone();
        let mut wanted: Vec<(String, Span)> =
            used.names.iter().map(|name| (name.name.clone(), name.span)).collect();
        if wanted.is_empty() {
            wanted = theirs.keys().map(|name| (name.clone(), used.path_span)).collect();
            wanted.sort();
        }
        for (name, span) in wanted {
            let Some(at) = theirs.get(&name) else {
                let near = crate::base::did_you_mean(&name, theirs.keys().map(String::as_str));
                let mut problem =
                    Diagnostic::error("unknown-name", format!("\"{}\" defines no `{name}`", used.path))
                        .label(span, "not found in that file");
                if let Some(near) = near {
                    problem = problem.help(format!("did you mean `{near}`?"));
                }
                out.push(problem);
                continue;
            };
            let own = self.modules[module].names.get(&name).copied();
            match own {
                Some(own) if own != *at => {
                    let first = self.item(own).and_then(name_of).map_or(Span::NONE, |ident| ident.span);
                    out.push(
                        Diagnostic::error("defined-twice", format!("`{name}` is defined twice"))
                            .label(span, "taken from another file here")
                            .label(first, "also defined here")
                            .help("list the names to take: `use \"FILE\" (a, b)`"),
                    );
                }
                _ => {
                    self.modules[module].names.insert(name, *at);
                }
            }
        }
    }

    fn open(
        &mut self,
        module: usize,
        used: &ast::Use,
        out: &mut Vec<Diagnostic>,
        depth: usize,
    ) -> Option<usize> {
        let mut fail = |code, title: String, help: &str| {
            out.push(Diagnostic::error(code, title).label(used.path_span, "used here").help(help));
            None
        };
        let path = match self.resolve(module, &used.path) {
            Ok(path) => path,
            Err(why) => return fail("path-outside", why, "move the file into the folder of the experiment"),
        };
        if let Some(&known) = self.by_path.get(&full(&path)) {
            // A file that is still being read stands in `by_path` too: its names are complete only then.
            if self.is_open(known, module) {
                return fail(
                    "use-circle",
                    format!("\"{}\" uses this file in turn", used.path),
                    "move what both need into a third file",
                );
            }
            return Some(known);
        }
        if depth >= limits::CALL_DEPTH / 4 {
            return fail("too-deep", "`use` is nested too deeply".to_string(), "use fewer files");
        }
        let text = match read(&path) {
            Ok(text) => text,
            Err(why) => {
                return fail(
                    "no-file",
                    format!("{}: {why}", path.display()),
                    "the path is relative to this file",
                );
            }
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.module(path, folder, text, out, depth + 1)
    }

    /// Whether module `known` is an ancestor of `module` in the chain of `use`s, or the module itself.
    fn is_open(&self, known: usize, module: usize) -> bool {
        // Modules are numbered when they are opened, and closed in reverse: an open one has a lower number
        // and is reached through the chain of files that use `module`.
        known == module || self.uses_transitively(known, module)
    }

    fn uses_transitively(&self, from: usize, to: usize) -> bool {
        let mut stack = vec![from];
        let mut seen = vec![false; self.modules.len()];
        while let Some(module) = stack.pop() {
            if module == to {
                return true;
            }
            let Some(flag) = seen.get_mut(module) else { continue };
            if std::mem::replace(flag, true) {
                continue;
            }
            for item in &self.modules[module].ast.items {
                if let ast::Item::Use(used) = item
                    && let Ok(path) = self.resolve(module, &used.path)
                    && let Some(&next) = self.by_path.get(&full(&path))
                {
                    stack.push(next);
                }
            }
        }
        false
    }

    /// Reads a `--set key=value`.
    pub fn override_setting(&mut self, key: &str, value: &str, out: &mut Vec<Diagnostic>) {
        let text = format!("let {key} = {value}");
        let file: FileId = self.sources.add(PathBuf::from(format!("--set {key}")), text.clone(), false);
        let wrong = || {
            Diagnostic::error("bad-setting", format!("`--set {key}={value}` is not `NAME=VALUE`"))
                .exit(Exit::Usage)
        };
        match syntax::parse(file, &text) {
            Ok(mut ast) => match (ast.items.pop(), ast.items.pop()) {
                (Some(ast::Item::Let(item)), None) => self.overrides.push((key.to_string(), item.value)),
                _ => out.push(wrong()),
            },
            Err(_) => out.push(wrong().help("a value is written as in the file: 64, 1e-3, \"text\", [1, 2]")),
        }
    }

    /// The names of all settings of the user's files.
    pub fn setting_names(&self) -> impl Iterator<Item = &str> {
        let items = self.modules.iter().flat_map(|m| &m.ast.items);
        items
            .filter(|item| matches!(item, ast::Item::Let(_)))
            .filter_map(name_of)
            .map(|name| name.name.as_str())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|why| explain(&why))?.len();
    if size > limits::SPEC_BYTES as u64 {
        return Err(format!("{size} bytes; a spec has at most {}", limits::SPEC_BYTES));
    }
    let bytes = std::fs::read(path).map_err(|why| explain(&why))?;
    String::from_utf8(bytes)
        .map_err(|why| format!("not a text: byte {} is not UTF-8", why.utf8_error().valid_up_to()))
}

fn explain(why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::IsADirectory => "this is a folder, not a file".to_string(),
        _ => why.to_string(),
    }
}

/// The absolute path without `.` and `..`, links resolved as far as the path exists.
fn full(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    let mut clean = std::env::current_dir().unwrap_or_default();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}
