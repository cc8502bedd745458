//! Forms with files, as the upload endpoint takes them. Read from wherever they lie, in pieces: a form may be larger than
//! memory should be.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use http::{Method, StatusCode};
use memchr::memmem::Finder;

use super::error::RestError;
use crate::jar::{self, Jar};

/// What a form holds. As an extension of a request it stands for its body, which was not kept.
#[derive(Clone, Debug, Default)]
pub struct Uploads(Arc<Form>);

#[derive(Debug, Default)]
struct Form {
    files: Vec<Upload>,
    /// The attribute `request`: it is the body of a request that has files.
    request: Vec<u8>,
    fault: Option<Fault>,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub filename: String,
    /// `None`: not a readable zip.
    pub jar: Option<Jar>,
    /// Of other files, up to a bound.
    pub content: Vec<u8>,
}

/// Why Netty gives up on a form, or the handler on what is in it.
#[derive(Debug)]
enum Fault {
    Attribute(String),
    Unreadable,
}

const PARTS_MAX: usize = 100;
const PART_HEAD_MAX: u64 = 16 << 10;
const PIECE: usize = 64 << 10;

const ATTRIBUTE_MAX: u64 = 1 << 20;
const CONTENT_MAX: u64 = 16 << 20;

/// Whether a request is read as a form: anything else about its content type is not looked at.
pub fn is_form(method: &Method, content_type: &str) -> bool {
    *method == Method::POST
        && content_type.starts_with("multipart/form-data")
        && boundary(content_type).is_some()
}

impl Uploads {
    /// Empty when this is no form with the boundary of its content type.
    pub fn read(content_type: &str, form: &mut (impl Read + Seek)) -> Uploads {
        let uploads = boundary(content_type).and_then(|boundary| parts(&boundary, form).ok());
        Uploads(Arc::new(uploads.unwrap_or_default()))
    }

    pub(super) fn in_memory(content_type: &str, body: &[u8]) -> Uploads {
        Uploads::read(content_type, &mut Cursor::new(body))
    }

    pub(super) fn files(&self) -> &[Upload] {
        &self.0.files
    }

    /// The body that came along, once the form is known to be readable.
    pub(super) fn request(&self) -> Result<&[u8], RestError> {
        match &self.0.fault {
            None => Ok(&self.0.request),
            Some(Fault::Attribute(name)) => {
                Err(RestError::bare(StatusCode::BAD_REQUEST, format!("Received unknown attribute {name}.")))
            }
            Some(Fault::Unreadable) => {
                Err(RestError::bare(StatusCode::INTERNAL_SERVER_ERROR, "File upload failed."))
            }
        }
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let boundary = content_type.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    (!boundary.is_empty()).then(|| format!("--{boundary}"))
}

/// The parts up to the first that is wrong; one that is not over does not count.
fn parts(boundary: &str, input: &mut (impl Read + Seek)) -> io::Result<Form> {
    let marks = positions(boundary.as_bytes(), input)?;
    let mut form = Form::default();
    for pair in marks.windows(2) {
        // Between two marks: CRLF, head, empty line, content, CRLF.
        let (start, end) = (pair[0] + boundary.len() as u64 + 2, pair[1].saturating_sub(2));
        let Err(fault) = part(start..end.max(start), input, &mut form)? else { continue };
        form.fault = Some(fault);
        break;
    }
    Ok(form)
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

fn part(range: Range<u64>, input: &mut (impl Read + Seek), form: &mut Form) -> io::Result<Result<(), Fault>> {
    let mut head = Vec::new();
    input.seek(SeekFrom::Start(range.start))?;
    input.by_ref().take(PART_HEAD_MAX.min(range.end - range.start)).read_to_end(&mut head)?;
    let Some(split) = memchr::memmem::find(&head, b"\r\n\r\n") else { return Ok(Err(Fault::Unreadable)) };
    let Some((name, filename)) = names(&String::from_utf8_lossy(&head[..split])) else {
        return Ok(Err(Fault::Unreadable));
    };
    let mut content = Section::new(input, range.start + split as u64 + 4..range.end);
    match filename {
        Some(filename) => {
            let jar = jar::read_from(&mut content);
            let content = if jar.is_none() { content.read_up_to(CONTENT_MAX)? } else { Vec::new() };
            // Files of one name are one file.
            form.files.retain(|file| file.filename != filename);
            form.files.push(Upload { filename, jar, content });
        }
        None if name == "request" => form.request = content.read_up_to(ATTRIBUTE_MAX)?,
        None => return Ok(Err(Fault::Attribute(name))),
    }
    Ok(Ok(()))
}

/// Name and, of a file, file name of a part; nothing where Netty cannot make a part of it (recorded).
fn names(head: &str) -> Option<(String, Option<String>)> {
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let plain = |encoding: &str| ["7bit", "8bit", "binary"].iter().any(|e| encoding.eq_ignore_ascii_case(e));
    let fields = fields(header("content-disposition")?);
    let named = |name: &str| fields.iter().find(|f| f.trim_start().starts_with(&format!("{name}=")));
    let form_data = fields.first()?.trim().eq_ignore_ascii_case("form-data");
    if !form_data || !header("content-transfer-encoding").is_none_or(plain) {
        return None;
    }
    let value = |field: &String| field.split_once('=').map(|(_, value)| clean(value));
    let name = value(named("name")?)?;
    let extended = || {
        let value = named("filename*")?.split_once('=')?.1;
        percent_decode(value.trim().rsplit('\'').next()?)
    };
    match named("filename").and_then(value).or_else(extended) {
        None => Some((name, None)),
        Some(path) => {
            let file = path.rsplit('/').next().unwrap_or_default().to_owned();
            (!file.is_empty()).then_some((name, Some(file)))
        }
    }
}

/// What semicolons outside of quotes separate.
fn fields(header: &str) -> Vec<String> {
    let (mut out, mut quoted) = (vec![String::new()], false);
    for c in header.chars() {
        quoted ^= c == '"';
        match (c, out.last_mut()) {
            (';', _) if !quoted => out.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    out
}

/// `HttpPostBodyUtil` and `cleanString`: no quotes, and blanks for what separates.
fn clean(value: &str) -> String {
    let blank = |c: char| if matches!(c, ':' | ',' | '=' | ';' | '\t') { ' ' } else { c };
    let cleaned: String = value.chars().filter(|c| *c != '"').map(blank).collect();
    cleaned.trim().to_owned()
}

fn percent_decode(text: &str) -> Option<String> {
    super::text::path(text).ok()
}

/// A stretch of a file, as if it were a file.
struct Section<'a, F> {
    file: &'a mut F,
    range: Range<u64>,
    at: u64,
}

impl<'a, F: Read + Seek> Section<'a, F> {
    fn new(file: &'a mut F, range: Range<u64>) -> Section<'a, F> {
        Section { file, at: 0, range }
    }

    /// From the beginning.
    fn read_up_to(&mut self, max: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.at = 0;
        (&mut *self).take(max).read_to_end(&mut content)?;
        Ok(content)
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

    /// File names, and whether they are jars.
    fn read(content_type: &str, body: &[u8]) -> Vec<(String, bool)> {
        let uploads = Uploads::in_memory(content_type, body);
        uploads.files().iter().map(|u| (u.filename.clone(), u.jar.is_some())).collect()
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
        let jar = jar::write("com.example.Main");
        let uploads = Uploads::in_memory("multipart/form-data; boundary=x", &form(&jar));
        assert_eq!(read("multipart/form-data; boundary=x", &form(&jar)), [("b.jar".to_owned(), true)]);
        assert!(matches!(&uploads.0.fault, Some(Fault::Attribute(name)) if name == "f"));
        assert_eq!(read("multipart/form-data; boundary=y", &form(&jar)), []);
        assert_eq!(read("multipart/form-data", &form(&jar)), []);
        assert_eq!(read("multipart/form-data; boundary=x", b"--x"), []);
        assert_eq!(read("multipart/form-data; boundary=x", &form(b"PK")), [("b.jar".to_owned(), false)]);
    }

    #[test]
    fn names_as_netty_reads_them() {
        let file = |header: &str| names(&format!("Content-Disposition: {header}"))?.1;
        assert_eq!(file("form-data; name=\"j\"; filename=\"a;b.jar\"").unwrap(), "a b.jar");
        assert_eq!(file("form-data; name=j; filename=a.jar").unwrap(), "a.jar");
        assert_eq!(file("form-data; name=\"j\"; filename*=UTF-8''a%20b.jar").unwrap(), "a b.jar");
        assert_eq!(file("form-data; name=\"j\"; filename=\"C:\\x.jar\"").unwrap(), "C \\x.jar");
        assert_eq!(
            names("Content-Disposition: form-data; name=\"request\""),
            Some(("request".to_owned(), None))
        );
        for head in [
            "X: y",
            "Content-Disposition: form-data; filename=\"a.jar\"",
            "Content-Disposition: attachment; name=\"j\"; filename=\"a.jar\"",
            "Content-Disposition: form-data; name=\"j\"; filename=\"\"",
            "Content-Disposition: form-data; name=\"j\"; filename=\"a\"\r\nContent-Transfer-Encoding: base64",
        ] {
            assert_eq!(names(head), None, "{head}");
        }
    }

    #[test]
    fn a_boundary_is_found_across_pieces() {
        for padding in PIECE - 100..PIECE + 4 {
            let jar = vec![b'.'; padding];
            let uploads = Uploads::in_memory("multipart/form-data; boundary=x", &form(&jar));
            assert_eq!(uploads.files().len(), 1, "{padding}");
            assert!(matches!(uploads.0.fault, Some(Fault::Attribute(_))), "{padding}");
        }
    }
}
