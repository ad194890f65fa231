//! What the tidy tests read: the project's files, its packages, its functions.
#![forbid(unsafe_code)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/tidy is two levels down").into()
}

fn output(command: &mut Command) -> String {
    let out = command.current_dir(root()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// All files that are committed or about to be, relative to the root.
pub fn files() -> Vec<String> {
    let list = output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]));
    list.lines().filter(|f| root().join(f).exists()).map(str::to_owned).collect()
}

/// The text of a file; `None` for one that is no text.
pub fn text(file: &str) -> Option<String> {
    std::fs::read_to_string(root().join(file)).ok()
}

/// What `cargo metadata` says.
pub fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    serde_json::from_str(&output(cargo.args(["metadata", "--format-version", "1", "--locked"])))
        .expect("JSON")
}

/// A function with its length.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// First line.
    pub line: usize,
    /// Lines, signature and braces included, documentation not.
    pub lines: usize,
}

struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, name: &syn::Ident, block: &syn::Block, start: proc_macro2::Span) {
        let (first, last) = (start.start().line, block.span().end().line);
        self.0.push(Function { name: name.to_string(), line: first, lines: last - first + 1 });
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, f: &'a syn::ItemFn) {
        self.add(&f.sig.ident, &f.block, f.sig.span());
        visit::visit_item_fn(self, f);
    }
    fn visit_impl_item_fn(&mut self, f: &'a syn::ImplItemFn) {
        self.add(&f.sig.ident, &f.block, f.sig.span());
        visit::visit_impl_item_fn(self, f);
    }
}

/// The functions of a Rust file.
pub fn functions(source: &str) -> syn::Result<Vec<Function>> {
    let mut found = Functions(vec![]);
    found.visit_file(&syn::parse_file(source)?);
    Ok(found.0)
}
