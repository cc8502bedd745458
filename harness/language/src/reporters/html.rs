//! The HTML report: `index.html` with all cases and one page per case with its timeline. Every page stands alone:
//! style, script and data inside, no network, light and dark, usable by keyboard.

mod data;
mod pages;

use crate::report::{CaseReport, RunReport};
use std::io;
use std::path::Path;

/// File names and contents, `index.html` first.
pub fn pages(report: &RunReport) -> Vec<(String, String)> {
    let mut out = vec![("index.html".to_owned(), pages::index(report))];
    let mut names = std::collections::BTreeSet::new();
    for case in &report.cases {
        let name = page_name(&case.slug());
        // The same case with the same seed twice is one page: it is the same run.
        if names.insert(name.clone()) {
            out.push((name, pages::case(case)));
        }
    }
    out
}

/// Writes the page of one case into a folder that is there.
pub fn write_case(folder: &Path, case: &CaseReport) -> io::Result<()> {
    std::fs::write(folder.join(page_name(&case.slug())), pages::case(case))
}

/// Writes the page of all cases into a folder that is there.
pub fn write_index(folder: &Path, report: &RunReport) -> io::Result<()> {
    std::fs::write(folder.join("index.html"), pages::index(report))
}

/// Writes all pages into a folder, which is created.
pub fn write(folder: &Path, report: &RunReport) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    pages(report).into_iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

fn page_name(slug: &str) -> String {
    format!("case-{slug}.html")
}

/// Text into element content or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
