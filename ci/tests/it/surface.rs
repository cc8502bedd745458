//! Holds harness/stable-api.txt against the source, and Cargo's rule for versions against both.

use drey_ci::graph::workspace_root;
use drey_ci::surface::{LISTING, Listing, found, items_of, name_of, unused, version};

#[test]
fn the_stable_surface_is_the_one_listed() {
    let (stored, found) = (Listing::read().expect("the listing"), found().expect("the source"));
    assert!(found.len() > 60, "only {} items were found: did the source move?", found.len());
    let Err((text, may_rewrite)) = stored.against(&found, &version().expect("a version")) else { return };
    let is_rewriting = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    assert!(is_rewriting && may_rewrite, "{text}");
    std::fs::write(workspace_root().join(LISTING), stored.render(&found)).expect("write the listing");
}

#[test]
fn every_item_is_used_by_the_example() {
    let items = Listing::read().expect("the listing").items;
    assert!(items.iter().filter_map(|item| name_of(item)).count() > 60, "names cannot be read");
    let unused = unused(&items, &workspace_root()).expect("the example");
    assert!(unused.is_empty(), "not used by the example crate:\n{}", unused.join("\n"));
}

#[test]
fn items_are_read_as_rustfmt_writes_them() {
    let text = "\
pub use a::{B, C};
mod hidden;
/// A type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: String,
    secret: u64,
}

pub enum Becomes {
    Fails,
    /// In time.
    Slow(Duration),
}

impl<'w> Live<'w> {
    pub(super) fn new() -> Live<'w> {
        Live
    }

    /// Waits.
    pub async fn eventually(
        &self,
        within: Duration,
    ) -> HookResult {
        pub_looking();
    }
}

impl fmt::Display for Live<'_> {
    fn fmt(&self) {}
}

#[macro_export]
macro_rules! scenarios {
    ($folder:literal) => {
        inner()
    };
}

pub const SEED: &str = \"x\";
pub(crate) fn not_ours() {}

#[cfg(test)]
mod tests {
    pub fn nor_this() {}
}
";
    let expected = [
        "pub use a::{B, C}",
        "#[derive(Clone, Debug)] #[non_exhaustive] pub struct Job",
        "pub struct Job { pub id: String }",
        "pub enum Becomes",
        "pub enum Becomes { Fails }",
        "pub enum Becomes { Slow(Duration) }",
        "impl<'w> Live<'w> { pub async fn eventually(&self, within: Duration) -> HookResult }",
        "impl fmt::Display for Live<'_>",
        "#[macro_export] macro_rules! scenarios",
        "macro_rules! scenarios { ($folder:literal) => }",
        "pub const SEED: &str = \"x\"",
    ];
    assert_eq!(items_of(text), expected);
    let names: Vec<Option<&str>> = expected.iter().map(|item| name_of(item)).collect();
    let named = [
        None,
        Some("Job"),
        Some("id"),
        Some("Becomes"),
        Some("Fails"),
        Some("Slow"),
        Some("eventually"),
        None,
        Some("scenarios"),
        None,
        Some("SEED"),
    ];
    assert_eq!(names, named);
}

#[test]
fn what_was_released_goes_only_with_the_minor_version() {
    let listing =
        |released: &str| Listing::parse(&format!("# released: {released}\na\nb\n")).expect("a listing");
    let check = |released: &str, version: &str, found: &[&str], expected: Option<bool>| {
        let found: Vec<String> = found.iter().map(|item| (*item).to_owned()).collect();
        let may_rewrite =
            listing(released).against(&found, version).err().map(|(_, may_rewrite)| may_rewrite);
        assert_eq!(may_rewrite, expected, "{released} -> {version}: {found:?}");
    };
    check("0.1.0", "0.1.4", &["a", "b"], None);
    check("0.1.0", "0.1.4", &["a", "b", "c"], Some(true));
    check("0.1.0", "0.1.4", &["a", "c"], Some(false));
    check("0.1.0", "0.2.0", &["a", "c"], Some(true));
    check("1.1.0", "1.2.0", &["a"], Some(false));
    check("1.1.0", "2.0.0", &["a"], Some(true));
    check("none", "0.1.0", &["a"], Some(true));
    assert!(Listing::parse("a\nb\n").is_err());
}
