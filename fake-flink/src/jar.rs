//! Reads what the model needs of an uploaded jar: its Main-Class and which classes it contains. Sizes are bounded.

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Seek, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    pub main_class: Option<String>,
    pub classes: BTreeSet<String>,
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const MANIFEST_MAX: u64 = 64 * 1024;
const ENTRIES_MAX: usize = 100_000;

/// `None`: not a readable zip, which Flink reports as `zip END header not found`.
pub fn read(bytes: &[u8]) -> Option<Jar> {
    read_from(Cursor::new(bytes))
}

/// As [`read`], of a file.
pub fn read_from(file: impl Read + Seek) -> Option<Jar> {
    let mut archive = ZipArchive::new(file).ok()?;
    let names = archive.file_names().flatten().take(ENTRIES_MAX);
    let classes = names.filter_map(|name| Some(name.strip_suffix(".class")?.replace('/', "."))).collect();
    let main_class = match archive.by_name(MANIFEST) {
        Ok(manifest) => {
            let mut text = Vec::new();
            manifest.take(MANIFEST_MAX).read_to_end(&mut text).ok()?;
            main_class(&String::from_utf8_lossy(&text))
        }
        Err(_) => None,
    };
    Some(Jar { main_class, classes })
}

/// A minimal uncompressed jar, for callers that need bytes an upload accepts.
pub fn write(main_class: &str) -> Vec<u8> {
    let manifest = format!("Manifest-Version: 1.0\r\nMain-Class: {main_class}\r\n\r\n");
    let class = format!("{}.class", main_class.replace('.', "/"));
    let mut jar = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [(MANIFEST, manifest.as_bytes()), (&class, &[])] {
        // Writing to memory fails for nothing but names that are too long: such a jar stays empty.
        if jar.start_file(name, stored).and_then(|()| Ok(jar.write_all(content)?)).is_err() {
            return Vec::new();
        }
    }
    jar.finish().map(Cursor::into_inner).unwrap_or_default()
}

fn main_class(manifest: &str) -> Option<String> {
    let line = manifest.lines().find_map(|l| l.strip_prefix("Main-Class:"))?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_jar_reads_back() {
        let jar = read(&write("com.example.Main")).unwrap();
        assert_eq!(jar.main_class.as_deref(), Some("com.example.Main"));
        assert!(jar.classes.contains("com.example.Main"));
    }

    #[test]
    fn anything_else_is_corrupt() {
        for bytes in [&b"not a zip"[..], b"", &[0; 30], &write("A")[..40]] {
            assert_eq!(read(bytes), None);
        }
    }
}
