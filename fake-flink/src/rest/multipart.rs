//! Forms with files, as the upload endpoint takes them. Read from wherever they lie, in pieces: a form may be larger than
//! memory should be.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::jar::{self, Jar};

/// What a form holds. As an extension of a request it stands for its body, which was not kept.
#[derive(Clone, Debug, Default)]
pub struct Uploads(pub(super) Arc<Vec<Upload>>);

#[derive(Debug)]
pub(super) struct Upload {
    pub name: String,
    /// Present for files; directories in it are dropped.
    pub filename: Option<String>,
    /// `None`: not a readable zip.
    pub jar: Option<Jar>,
}

const PARTS_MAX: usize = 100;
const PART_HEAD_MAX: u64 = 16 << 10;
const PIECE: usize = 64 << 10;

impl Uploads {
    /// Empty when this is no form with the boundary of its content type.
    pub fn read(content_type: &str, form: &mut (impl Read + Seek)) -> Uploads {
        let uploads = boundary(content_type).and_then(|boundary| parts(&boundary, form).ok().flatten());
        Uploads(Arc::new(uploads.unwrap_or_default()))
    }

    pub(super) fn in_memory(content_type: &str, body: &[u8]) -> Uploads {
        Uploads::read(content_type, &mut Cursor::new(body))
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let boundary = content_type.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    (!boundary.is_empty()).then(|| format!("--{boundary}"))
}

fn parts(boundary: &str, form: &mut (impl Read + Seek)) -> io::Result<Option<Vec<Upload>>> {
    let marks = positions(boundary.as_bytes(), form)?;
    let mut uploads = Vec::new();
    for pair in marks.windows(2) {
        // Between two marks: CRLF, head, empty line, content, CRLF.
        let (start, end) = (pair[0] + boundary.len() as u64 + 2, pair[1].saturating_sub(2));
        if start > end {
            return Ok(None);
        }
        let Some(upload) = part(start..end, form)? else { return Ok(None) };
        uploads.push(upload);
    }
    Ok((!marks.is_empty()).then_some(uploads))
}

/// Where the boundary occurs, up to a bound.
fn positions(boundary: &[u8], form: &mut (impl Read + Seek)) -> io::Result<Vec<u64>> {
    form.seek(SeekFrom::Start(0))?;
    let finder = Finder::new(boundary);
    let (mut found, mut window, mut offset) = (Vec::new(), Vec::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let length = form.read(&mut piece)?;
        window.extend_from_slice(&piece[..length]);
        found.extend(finder.find_iter(&window).map(|at| offset + at as u64));
        found.truncate(PARTS_MAX + 1);
        if length == 0 {
            return Ok(found);
        }
        // A boundary across two pieces: its beginning is looked at again, one that was found is not.
        let last = found.last().map_or(0, |at| (at + boundary.len() as u64).saturating_sub(offset) as usize);
        let keep = (window.len() + 1).saturating_sub(boundary.len()).max(last).min(window.len());
        window.drain(..keep);
        offset += keep as u64;
    }
}

fn part(range: Range<u64>, form: &mut (impl Read + Seek)) -> io::Result<Option<Upload>> {
    let mut head = Vec::new();
    form.seek(SeekFrom::Start(range.start))?;
    form.by_ref().take(PART_HEAD_MAX.min(range.end - range.start)).read_to_end(&mut head)?;
    let Some(split) = memchr::memmem::find(&head, b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&head[..split]).into_owned();
    let disposition = text.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"));
    let Some((disposition, name)) = disposition.and_then(|d| Some((d, attribute(d, "name")?))) else {
        return Ok(None);
    };
    let filename =
        attribute(disposition, "filename").map(|f| f.rsplit(['/', '\\']).next().unwrap_or("").to_owned());
    let content = range.start + split as u64 + 4..range.end;
    let jar = filename.as_ref().and_then(|_| jar::read_from(Section::new(form, content)));
    Ok(Some(Upload { name, filename, jar }))
}

fn attribute(header: &str, name: &str) -> Option<String> {
    let mark = format!("{name}=");
    let field = header.split(';').map(str::trim).find_map(|f| f.strip_prefix(&mark))?;
    Some(field.trim_matches('"').to_owned())
}

/// A stretch of a file, as if it were a file.
struct Section<'a, F> {
    file: &'a mut F,
    range: Range<u64>,
    at: u64,
}

impl<'a, F> Section<'a, F> {
    fn new(file: &'a mut F, range: Range<u64>) -> Section<'a, F> {
        Section { file, at: 0, range }
    }

    fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

impl<F: Read + Seek> Read for Section<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        self.file.seek(SeekFrom::Start(self.range.start + self.at))?;
        let length = self.file.read(&mut buffer[..wanted])?;
        self.at += length as u64;
        Ok(length)
    }
}

impl<F: Read + Seek> Seek for Section<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Vec<(String, Option<String>, bool)> {
        let uploads = Uploads::in_memory(content_type, body);
        uploads.0.iter().map(|u| (u.name.clone(), u.filename.clone(), u.jar.is_some())).collect()
    }

    fn form(jar: &[u8]) -> Vec<u8> {
        let mut body =
            b"--x\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a/b.jar\"\r\n\r\n".to_vec();
        body.extend_from_slice(jar);
        body.extend(b"\r\n--x\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nv\r\n--x--\r\n");
        body
    }

    #[test]
    fn a_form_with_a_file_and_a_field() {
        let file = ("jarfile".to_owned(), Some("b.jar".to_owned()), true);
        let field = ("f".to_owned(), None, false);
        let jar = jar::write("com.example.Main");
        assert_eq!(read("multipart/form-data; boundary=x", &form(&jar)), [file, field]);
        assert_eq!(read("multipart/form-data; boundary=y", &form(&jar)), []);
        assert_eq!(read("multipart/form-data", &form(&jar)), []);
        assert_eq!(read("multipart/form-data; boundary=x", b"--x"), []);
        assert!(!read("multipart/form-data; boundary=x", &form(b"PK"))[0].2, "no jar");
    }

    #[test]
    fn a_boundary_is_found_across_pieces() {
        for padding in PIECE - 100..PIECE + 4 {
            let jar = vec![b'.'; padding];
            assert_eq!(read("multipart/form-data; boundary=x", &form(&jar)).len(), 2, "{padding}");
        }
    }
}
