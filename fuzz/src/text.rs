//! Requests as text, the form of inputs that are requests: `METHOD target`, header lines, an empty line, the body; several
//! of them with [`BREAK`] between.

use bytes::Bytes;
use http::Request;

/// Between the requests of an input, and between the parts of others: a byte that no request needs.
pub const BREAK: u8 = 0x1e;
/// Requests of one input.
const REQUESTS_MAX: usize = 8;

/// The parts of an input that may be requests.
pub fn parts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|b| *b == BREAK).take(REQUESTS_MAX)
}

pub fn request(part: &[u8]) -> Option<Request<Bytes>> {
    let end = part.windows(2).position(|w| w == b"\n\n");
    let (head, body) = end.map_or((part, &[][..]), |at| (&part[..at], &part[at + 2..]));
    let mut lines = head.split(|b| *b == b'\n');
    let line = lines.next()?;
    let blank = line.iter().position(|b| *b == b' ')?;
    let mut builder = Request::builder().method(&line[..blank]).uri(&line[blank + 1..]);
    for header in lines {
        let colon = header.iter().position(|b| *b == b':')?;
        builder = builder.header(&header[..colon], header[colon + 1..].trim_ascii());
    }
    builder.body(Bytes::copy_from_slice(body)).ok()
}
