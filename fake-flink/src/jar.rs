//! Reads what the model needs of an uploaded jar: its Main-Class and which classes it contains.
//!
//! A jar is a zip; only the central directory and one small entry are read, and everything is bounded. Signed,
//! split or encrypted archives count as corrupt.

use std::collections::BTreeSet;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    pub main_class: Option<String>,
    pub classes: BTreeSet<String>,
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const MANIFEST_MAX: usize = 64 * 1024;
const ENTRIES_MAX: usize = 100_000;

/// `None`: not a readable zip, which Flink reports as `zip END header not found`.
pub fn read(bytes: &[u8]) -> Option<Jar> {
    let end = (0..=bytes.len().checked_sub(22)?)
        .rev()
        .take(66_000)
        .find(|at| bytes[*at..].starts_with(b"PK\x05\x06"))?;
    let count = u16_at(bytes, end + 10)? as usize;
    let mut at = u32_at(bytes, end + 16)? as usize;
    let mut jar = Jar::default();
    for _ in 0..count.min(ENTRIES_MAX) {
        if !bytes.get(at..)?.starts_with(b"PK\x01\x02") {
            return None;
        }
        let name_len = u16_at(bytes, at + 28)? as usize;
        let skip = name_len + u16_at(bytes, at + 30)? as usize + u16_at(bytes, at + 32)? as usize;
        let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name_len)?).into_owned();
        if name == MANIFEST {
            let text = entry(bytes, u32_at(bytes, at + 42)? as usize, u32_at(bytes, at + 20)? as usize)?;
            jar.main_class = main_class(&String::from_utf8_lossy(&text));
        } else if let Some(class) = name.strip_suffix(".class") {
            jar.classes.insert(class.replace('/', "."));
        }
        at += 46 + skip;
    }
    Some(jar)
}

/// A minimal uncompressed jar, for callers that need bytes an upload accepts.
pub fn write(main_class: &str) -> Vec<u8> {
    let manifest = format!("Manifest-Version: 1.0\r\nMain-Class: {main_class}\r\n\r\n").into_bytes();
    let class = format!("{}.class", main_class.replace('.', "/"));
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let entries = [(MANIFEST.to_owned(), manifest), (class, Vec::new())];
    for (name, content) in &entries {
        let offset = out.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        // The checksum is left at zero: nothing here verifies it.
        let common =
            [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &size, &size, &name_len, &[0, 0]].concat();
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        let tail = [&[0; 10][..], &offset.to_le_bytes(), name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02", &[20, 0][..], &common, &tail].concat());
    }
    let start = (out.len() as u32).to_le_bytes();
    let count = (entries.len() as u16).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    out.extend(directory);
    out.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &length, &start, &[0, 0]].concat());
    out
}

fn entry(bytes: &[u8], header: usize, compressed: usize) -> Option<Vec<u8>> {
    if !bytes.get(header..)?.starts_with(b"PK\x03\x04") {
        return None;
    }
    let start = header + 30 + u16_at(bytes, header + 26)? as usize + u16_at(bytes, header + 28)? as usize;
    let data = bytes.get(start..start.checked_add(compressed)?)?;
    match u16_at(bytes, header + 8)? {
        0 => Some(data.get(..data.len().min(MANIFEST_MAX))?.to_vec()),
        8 => miniz_oxide::inflate::decompress_to_vec_with_limit(data, MANIFEST_MAX).ok(),
        _ => None,
    }
}

fn main_class(manifest: &str) -> Option<String> {
    let line = manifest.lines().find_map(|l| l.strip_prefix("Main-Class:"))?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
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
