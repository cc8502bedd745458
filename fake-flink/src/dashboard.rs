//! The files of Flink's web dashboard, read from the `flink-runtime-web` package of a release. They are not part of
//! this project: `make web` fetches the package, `--web-jar` names it, or it lies in the usual Maven folder.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use zip::ZipArchive;

use crate::version::Version;

/// Where files lie in the package.
const FOLDER: &str = "web/";
const PACKAGE_MAX: u64 = 64 << 20;
const FILE_MAX: u64 = 32 << 20;

/// An opened package; clones share its bytes.
#[derive(Clone)]
pub struct Dashboard {
    archive: ZipArchive<Cursor<Bytes>>,
    paths: BTreeSet<String>,
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dashboard of {} files", self.paths.len())
    }
}

impl Dashboard {
    /// Opens a package.
    ///
    /// # Errors
    /// The file cannot be read, is no jar, or holds no dashboard.
    pub fn open(path: &Path) -> anyhow::Result<Dashboard> {
        let what = || format!("read the web dashboard from {}", path.display());
        let length = std::fs::metadata(path).with_context(what)?.len();
        if length > PACKAGE_MAX {
            bail!("{}: {length} bytes are more than a flink-runtime-web package has", what());
        }
        Dashboard::from_bytes(std::fs::read(path).with_context(what)?.into()).with_context(what)
    }

    fn from_bytes(bytes: Bytes) -> anyhow::Result<Dashboard> {
        let archive = ZipArchive::new(Cursor::new(bytes)).context("not a jar")?;
        let names =
            archive.file_names().flatten().filter_map(|name| Some(name.strip_prefix(FOLDER)?.to_owned()));
        let paths: BTreeSet<String> = names.filter(|path| !path.is_empty() && !path.ends_with('/')).collect();
        if !paths.contains("index.html") {
            bail!(
                "it holds no web/index.html: give the jar of org.apache.flink:flink-runtime-web, which `make web` fetches"
            );
        }
        Ok(Dashboard { archive, paths })
    }

    /// The package of a release, or of the nearest recorded one, where `make web` or Maven puts it.
    pub fn find(version: Version) -> Option<PathBuf> {
        let maven = std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".m2/repository/org/apache/flink/flink-runtime-web"));
        let places = |release: String| {
            let jar = format!("flink-runtime-web-{release}.jar");
            let fetched = Path::new("target/web").join(&jar);
            [Some(fetched), maven.as_ref().map(|maven| maven.join(release).join(jar))]
        };
        let releases = [version.to_string(), version.recorded().to_string()];
        releases.into_iter().flat_map(places).flatten().find(|path| path.is_file())
    }

    /// A file and its content type; the empty path is the page itself.
    pub fn file(&self, path: &str) -> Option<(&'static str, Bytes)> {
        let path = if path.is_empty() { "index.html" } else { path };
        if !self.paths.contains(path) {
            return None;
        }
        let mut content = Vec::new();
        let mut archive = self.archive.clone();
        archive.by_name(&format!("{FOLDER}{path}")).ok()?.take(FILE_MAX).read_to_end(&mut content).ok()?;
        Some((content_type(path), content.into()))
    }
}

/// As the real server names them, by the end of the path.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html",
        "css" => "text/css",
        "js" => "application/javascript",
        "json" => "application/json",
        "txt" => "text/plain",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "ttf" => "font/ttf",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn package(files: &[(&str, &str)]) -> Bytes {
        let mut jar = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            jar.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            jar.write_all(text.as_bytes()).unwrap();
        }
        jar.finish().unwrap().into_inner().into()
    }

    #[test]
    fn files_below_web_are_served_with_their_type() {
        let bytes = package(&[("web/index.html", "<html>"), ("web/main.js", "x"), ("META-INF/LICENSE", "y")]);
        let dashboard = Dashboard::from_bytes(bytes).unwrap();
        assert_eq!(dashboard.file(""), Some(("text/html", Bytes::from_static(b"<html>"))));
        assert_eq!(dashboard.file("main.js"), Some(("application/javascript", Bytes::from_static(b"x"))));
        for absent in ["META-INF/LICENSE", "../META-INF/LICENSE", "web/index.html", "nope"] {
            assert_eq!(dashboard.file(absent), None, "{absent}");
        }
    }

    #[test]
    fn another_jar_is_refused_with_the_next_step() {
        let error = Dashboard::from_bytes(package(&[("a.class", "")])).unwrap_err();
        assert!(error.to_string().contains("flink-runtime-web"), "{error}");
        assert!(Dashboard::from_bytes(Bytes::from_static(b"no zip")).is_err());
    }
}
