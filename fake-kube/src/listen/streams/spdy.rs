//! The part of SPDY/3.1 that port forwarding needs: clients tunnel it through a WebSocket, or upgrade to it (kubectl;
//! moby/spdystream). Streams are opened by clients only; what we write in headers is not compressed, which a zlib
//! stream may say. Leaves out flow control, which spdystream does not do, and pushing.

use bytes::{Buf, Bytes, BytesMut};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// Header blocks are compressed as if this had come before (SPDY/3, 2.6.10.1).
const DICTIONARY: &[u8] = include_bytes!("spdy3.dict");
const FRAME_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 64 << 10;
const WINDOW: usize = 32 << 10;
const FIN: u8 = 1;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Open {
        id: u32,
        headers: Vec<(String, String)>,
    },
    Data {
        id: u32,
        bytes: Bytes,
        end: bool,
    },
    Reset {
        id: u32,
    },
    /// To be sent back as it is.
    Ping(Bytes),
    Away,
}

/// The bytes are no SPDY: the connection is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) struct Reader {
    buffer: BytesMut,
    inflate: Inflate,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { buffer: BytesMut::new(), inflate: Inflate::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that is whole and means something.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        loop {
            let Some(head) = self.buffer.get(..8) else { return Ok(None) };
            let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let flags = head[4];
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            if length > FRAME_MAX {
                return Err(Malformed);
            }
            if self.buffer.len() < 8 + length {
                return Ok(None);
            }
            let whole = self.buffer.split_to(8 + length).freeze();
            let mut payload = whole.slice(8..);
            if word >> 31 == 0 {
                return Ok(Some(Frame::Data { id: word, bytes: payload, end: flags & FIN != 0 }));
            }
            if word >> 16 != 0x8003 {
                return Err(Malformed);
            }
            match word & 0xffff {
                1 => {
                    let id = number(&mut payload)?;
                    let rest = payload.get(6..).ok_or(Malformed)?;
                    return Ok(Some(Frame::Open { id, headers: self.inflate.headers(rest)? }));
                }
                // HEADERS: nothing of it is wanted, but the compression goes on through it.
                8 => {
                    number(&mut payload)?;
                    self.inflate.headers(&payload)?;
                }
                3 => return Ok(Some(Frame::Reset { id: number(&mut payload)? })),
                6 => return Ok(Some(Frame::Ping(whole))),
                7 => return Ok(Some(Frame::Away)),
                _ => {}
            }
        }
    }
}

fn number(payload: &mut Bytes) -> Result<u32, Malformed> {
    if payload.len() < 4 { Err(Malformed) } else { Ok(payload.get_u32() & 0x7fff_ffff) }
}

/// One zlib stream runs through all header blocks of a connection.
struct Inflate {
    state: Box<DecompressorOxide>,
    /// What was decompressed: references reach back into it.
    window: Vec<u8>,
    end: usize,
    begun: bool,
}

impl Inflate {
    fn new() -> Inflate {
        let mut window = vec![0; WINDOW + HEADERS_MAX];
        window[..DICTIONARY.len()].copy_from_slice(DICTIONARY);
        Inflate { state: Box::default(), window, end: DICTIONARY.len(), begun: false }
    }

    fn headers(&mut self, mut block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
        if !self.begun {
            // The zlib head is read here, for it names the dictionary.
            let [_, flags, rest @ ..] = block else { return Err(Malformed) };
            block = if flags & 0x20 != 0 { rest.get(4..).ok_or(Malformed)? } else { rest };
            self.begun = true;
        }
        if self.end > WINDOW {
            self.window.copy_within(self.end - WINDOW..self.end, 0);
            self.end = WINDOW;
        }
        let begin = self.end;
        let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, written) = decompress(&mut self.state, block, &mut self.window, self.end, flags);
        self.end += written;
        match status {
            TINFLStatus::NeedsMoreInput if read == block.len() => parse(&self.window[begin..self.end]),
            _ => Err(Malformed),
        }
    }
}

fn parse(block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut rest = Bytes::copy_from_slice(block);
    let mut out = Vec::new();
    for _ in 0..number(&mut rest)? {
        let mut text = || {
            let length = number(&mut rest)? as usize;
            if length > rest.len() {
                return Err(Malformed);
            }
            Ok(String::from_utf8_lossy(&rest.split_to(length)).into_owned())
        };
        out.push((text()?.to_ascii_lowercase(), text()?));
    }
    Ok(out)
}

#[derive(Default)]
pub(super) struct Writer {
    begun: bool,
}

impl Writer {
    /// SYN_REPLY: the stream is there. Without headers.
    pub(super) fn reply(&mut self, id: u32) -> Vec<u8> {
        let mut payload = id.to_be_bytes().to_vec();
        if !self.begun {
            payload.extend([0x78, 0x01]);
            self.begun = true;
        }
        // A stored block with the number of headers, and an empty one: Go's reader hands out what it has only there, and
        // would look for the next block behind the end of the frame.
        payload.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
        payload.extend([0, 0, 0, 0xff, 0xff]);
        frame(0x8003_0002, 0, &payload)
    }
}

pub(super) fn data(id: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    frame(id, u8::from(end) * FIN, bytes)
}

fn frame(word: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.len());
    out.extend(word.to_be_bytes());
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend([flags, length[1], length[2], length[3]]);
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SYN_STREAM frames as moby/spdystream 0.5.0 writes them: stream 1 for errors, stream 3 for data, then a ping.
    const RECORDED: &str = include_str!("spdy-sample.hex");

    fn recorded() -> Vec<u8> {
        let digits = RECORDED.trim();
        (0..digits.len() / 2).filter_map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()).collect()
    }

    #[test]
    fn frames_of_a_real_client() {
        // However they arrive.
        for step in [1, 7, 10_000] {
            let mut reader = Reader::new();
            let mut frames = Vec::new();
            for piece in recorded().chunks(step) {
                reader.feed(piece);
                while let Some(f) = reader.next().expect("good frames") {
                    frames.push(f);
                }
            }
            let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
            let opens =
                |kind: &str| vec![pair("port", "8081"), pair("requestid", "0"), pair("streamtype", kind)];
            let mut seen = frames.into_iter();
            for (id, kind) in [(1, "error"), (3, "data")] {
                let Some(Frame::Open { id: got, mut headers }) = seen.next() else {
                    panic!("no stream {id}")
                };
                headers.sort();
                assert_eq!((got, headers), (id, opens(kind)));
            }
            assert_eq!(
                seen.next(),
                Some(Frame::Data { id: 3, bytes: Bytes::from_static(b"hello"), end: true })
            );
            assert_eq!(seen.next(), None);
        }
    }

    #[test]
    fn what_we_write_is_read_again() {
        let mut writer = Writer::default();
        let mut bytes = writer.reply(1);
        bytes.extend(writer.reply(3));
        bytes.extend(data(3, b"x", true));
        let mut reader = Reader::new();
        reader.feed(&bytes);
        assert_eq!(
            reader.next(),
            Ok(Some(Frame::Data { id: 3, bytes: Bytes::from_static(b"x"), end: true }))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [
            &[0x80, 9, 0, 1, 0, 0, 0, 0][..],
            &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff],
            b"\x80\x03\x00\x01\0\0\0\x02\0\0",
        ] {
            let mut reader = Reader::new();
            reader.feed(bytes);
            assert_eq!(reader.next(), Err(Malformed));
        }
        let good = recorded();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 0x55;
            let mut reader = Reader::new();
            reader.feed(&bad);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
