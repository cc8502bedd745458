//! The stable surface of drey-harness as text: every public item of `testing` and `scenarios!`, read from the source. A
//! listing in the repository states it; what was released there stays until the minor version is raised (Cargo's rule for
//! 0.x). Leaves out: what re-exported crates contain, and bounds that only show in bodies; the example crate compiles a
//! use of every item.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::graph::workspace_root;

/// The listing, below the root.
pub const LISTING: &str = "harness/stable-api.txt";
/// Uses every item of it.
pub const USES: &str = "examples/cargo-test/tests/surface.rs";

/// Where the surface is written down.
fn sources() -> Result<Vec<PathBuf>> {
    let source = workspace_root().join("harness/src");
    let mut files = vec![source.join("testing.rs"), source.join("library/mode.rs")];
    for entry in std::fs::read_dir(source.join("testing")).context("read harness/src/testing")? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// The items, sorted, one per line.
pub fn found() -> Result<Vec<String>> {
    let mut items = Vec::new();
    for path in sources()? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        items.extend(items_of(&text));
    }
    let types: Vec<String> = items.iter().filter_map(|item| name_of(item)).map(str::to_owned).collect();
    items.retain(|item| is_of_ours(item, &types));
    items.sort();
    items.dedup();
    Ok(items)
}

/// Trait impls of types that are not public are no part of it.
fn is_of_ours(item: &str, types: &[String]) -> bool {
    match item.split_once(" for ") {
        Some((head, of)) if head.starts_with("impl") => {
            let name = of.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            types.iter().any(|one| one == name)
        }
        _ => true,
    }
}

/// Public items of a file as rustfmt writes it: of the top level, of `impl` blocks, fields and variants.
pub fn items_of(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    // What the block around is: `impl Live<'_>`, `struct Job`, `enum Savepoint`.
    let mut block = String::new();
    let mut attributes = String::new();
    let mut lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    while let Some(line) = lines.next() {
        let (trimmed, depth) = (line.trim(), (line.len() - line.trim_start().len()) / 4);
        if depth == 0 && trimmed.starts_with('}') {
            block.clear();
        }
        if trimmed.starts_with("#[") && depth == 0 {
            let is_told = ["#[derive", "#[non_exhaustive", "#[macro_export"]
                .iter()
                .any(|start| trimmed.starts_with(start));
            attributes = if is_told { format!("{attributes}{trimmed} ") } else { attributes };
            continue;
        }
        let is_head =
            depth == 0 && ["pub ", "impl", "macro_rules!"].iter().any(|start| trimmed.starts_with(start));
        let is_member = depth == 1 && trimmed.starts_with("pub ") && block.starts_with("impl");
        if is_head || is_member {
            let head = head(trimmed, &mut lines);
            let opens = head.1;
            match (is_head, head.0) {
                (false, head) => items.push(format!("{block} {{ {head} }}")),
                (true, head) if head.starts_with("impl") && !head.contains(" for ") => block = head,
                (true, head) if head.starts_with("macro_rules!") && attributes.is_empty() => {}
                (true, head) => {
                    items.push(format!("{attributes}{head}"));
                    block = if opens { head } else { String::new() };
                }
            }
        } else if depth == 1 && is_part(&block, trimmed) {
            items.push(format!("{block} {{ {} }}", trimmed.trim_end_matches([',', '{', ' '])));
        }
        if !trimmed.starts_with("///") && depth == 0 {
            attributes.clear();
        }
    }
    items
}

/// A declaration up to its body, its lines joined; whether a body follows.
fn head<'l>(first: &'l str, lines: &mut impl Iterator<Item = &'l str>) -> (String, bool) {
    let mut head = first.to_owned();
    while !head.ends_with(['{', ';', '}']) {
        let Some(line) = lines.next() else { break };
        write!(head, " {}", line.trim()).expect("a string takes all");
    }
    let opens = head.ends_with('{');
    // The braces of `pub use a::{B, C};` follow no space, those of a body do.
    let head = head.split(" {").next().unwrap_or_default().trim_end_matches(';');
    // How a callee names what it takes is nobody's business.
    let head = head.replace("( ", "(").replace(", )", ")").replace("(mut self", "(self");
    (head.trim_end_matches([',', ' ']).to_owned(), opens)
}

/// A public field of a struct, a variant of an enum, an arm of a macro.
fn is_part(block: &str, line: &str) -> bool {
    let is_text =
        !line.starts_with("//") && !line.starts_with('#') && !line.is_empty() && !line.starts_with('}');
    let words = || block.split_whitespace();
    if words().any(|word| word == "struct") {
        line.starts_with("pub ")
    } else {
        is_text
            && (words().any(|word| word == "enum")
                || (block.starts_with("macro_rules!") && line.ends_with("=> {")))
    }
}

/// What the repository states: the version that was released last, and the items.
pub struct Listing {
    pub released: Option<String>,
    pub items: Vec<String>,
}

const RELEASED: &str = "# released: ";

impl Listing {
    pub fn read() -> Result<Listing> {
        let path = workspace_root().join(LISTING);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {LISTING}"))?;
        Listing::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Listing> {
        let released = text.lines().find_map(|line| line.strip_prefix(RELEASED));
        let released =
            released.with_context(|| format!("{LISTING} has no line `{RELEASED}VERSION`, or `none`"))?;
        ensure!(
            !released.trim().is_empty(),
            "{LISTING}: `{RELEASED}` says no version; write `none` before the first"
        );
        let items =
            text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).map(str::to_owned);
        let released = (released != "none").then(|| released.to_owned());
        Ok(Listing { released, items: items.collect() })
    }

    pub fn render(&self, items: &[String]) -> String {
        let released = self.released.as_deref().unwrap_or("none");
        format!(
            "# The stable surface of drey-harness. A test reads it from the source; UPDATE_EXPECT=1 rewrites this file. What\n\
             # was released here goes or changes only with the minor version.\n{RELEASED}{released}\n{}\n",
            items.join("\n")
        )
    }

    /// What is wrong between the listing and the source, if anything; whether rewriting the listing may mend it.
    pub fn against(&self, found: &[String], version: &str) -> std::result::Result<(), (String, bool)> {
        let gone: Vec<&String> = self.items.iter().filter(|item| !found.contains(item)).collect();
        let new: Vec<&String> = found.iter().filter(|item| !self.items.contains(item)).collect();
        if gone.is_empty() && new.is_empty() {
            return Ok(());
        }
        let list = |sign: char, items: &[&String]| {
            items.iter().fold(String::new(), |text, item| text + &format!("\n{sign} {item}"))
        };
        let changes = format!("{}{}", list('-', &gone), list('+', &new));
        let breaks = self
            .released
            .as_deref()
            .filter(|released| !gone.is_empty() && series(released) == series(version));
        Err(match breaks {
            Some(released) => {
                let next =
                    "raise the minor version of the workspace, or keep what was there beside what is new";
                (
                    format!("drey-harness {version} breaks callers of {released}:{changes}\nnext: {next}"),
                    false,
                )
            }
            None => (
                format!(
                    "{LISTING} does not state the surface:{changes}\nnext: UPDATE_EXPECT=1, and read the diff"
                ),
                true,
            ),
        })
    }
}

/// Versions of one series are compatible: `0.3` of `0.3.7`, `2` of `2.1.0`.
fn series(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => String::new(),
    }
}

/// The version of the workspace.
pub fn version() -> Result<String> {
    let text = std::fs::read_to_string(workspace_root().join("Cargo.toml")).context("read Cargo.toml")?;
    let version = text.lines().find_map(|line| line.strip_prefix("version = "));
    Ok(version.context("Cargo.toml has no workspace version")?.trim_matches('"').to_owned())
}

/// Names that the file of uses never mentions: functions, types, constants and variants.
pub fn unused(items: &[String], root: &Path) -> Result<Vec<String>> {
    let uses = std::fs::read_to_string(root.join(USES)).with_context(|| format!("read {USES}"))?;
    let words: std::collections::BTreeSet<&str> =
        uses.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let named = items.iter().filter_map(|item| Some((item, name_of(item)?)));
    Ok(named.filter(|(_, name)| !words.contains(name)).map(|(item, _)| item.clone()).collect())
}

/// The name an item declares; none for trait impls, re-exports and macro arms.
pub fn name_of(item: &str) -> Option<&str> {
    let item = item.rsplit("] ").next().unwrap_or(item);
    let declared = item.split_once(" { ").map_or(item, |(_, part)| part);
    if declared.starts_with("impl") || declared.starts_with("pub use") || declared.contains("=>") {
        return None;
    }
    let mut words =
        declared.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.find(|word| {
        !["pub", "async", "const", "fn", "struct", "enum", "type", "macro_rules", "derive"].contains(word)
    })
}
