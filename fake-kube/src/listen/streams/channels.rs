//! Several streams in one WebSocket: `v5.channel.k8s.io` and its elders. The first byte of a message, or in the base64
//! variants the first digit, says which stream it belongs to (apimachinery, remotecommand constants).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
/// Sizes of the client's terminal.
pub(super) const RESIZE: u8 = 4;
/// v5: the payload names a stream that is closed.
const CLOSE: u8 = 255;

/// A subprotocol that carries channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) base64: bool,
    /// 0 for the nameless first one, whose errors are plain text.
    pub(super) version: u8,
}

const EXEC: [Protocol; 5] = [
    Protocol { name: "v5.channel.k8s.io", base64: false, version: 5 },
    Protocol { name: "v4.channel.k8s.io", base64: false, version: 4 },
    Protocol { name: "v4.base64.channel.k8s.io", base64: true, version: 4 },
    Protocol { name: "channel.k8s.io", base64: false, version: 0 },
    Protocol { name: "base64.channel.k8s.io", base64: true, version: 0 },
];

/// The first offered protocol that is spoken; clients that offer none get the first of all.
pub(super) fn choose(offered: &[String], forward: bool) -> Option<Protocol> {
    let spoken = |name: &str| EXEC.iter().find(|p| p.name == name && !(forward && p.version == 5)).copied();
    if offered.is_empty() {
        return Some(Protocol { name: "", base64: false, version: 0 });
    }
    offered.iter().find_map(|o| spoken(o))
}

/// What streams of SPDY carry: the versions differ in what the error stream says.
const STREAMS: [Protocol; 4] = [
    Protocol { name: "v4.channel.k8s.io", base64: false, version: 4 },
    Protocol { name: "v3.channel.k8s.io", base64: false, version: 0 },
    Protocol { name: "v2.channel.k8s.io", base64: false, version: 0 },
    Protocol { name: "channel.k8s.io", base64: false, version: 0 },
];

/// The first offered protocol that is spoken over SPDY; clients that offer none mean the oldest.
pub(super) fn of_streams(offered: &[String]) -> Result<Protocol, String> {
    let accepted = STREAMS.map(|p| p.name);
    if offered.iter().all(String::is_empty) {
        return Ok(STREAMS[3]);
    }
    let found = offered.iter().find_map(|o| STREAMS.iter().find(|p| p.name == o));
    found.copied().ok_or_else(|| {
        format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            accepted.join(" ")
        )
    })
}

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Data(u8, Vec<u8>),
    /// No more on this channel.
    Closed(u8),
}

impl Protocol {
    pub(super) fn message(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            return Message::text(format!("{channel}{}", STANDARD.encode(data)));
        }
        let mut out = Vec::with_capacity(data.len() + 1);
        out.push(channel);
        out.extend_from_slice(data);
        Message::Binary(Bytes::from(out))
    }

    /// None for what is no data: pings, and messages that name no channel.
    pub(super) fn read(self, message: &Message) -> Option<Said> {
        let bytes: &[u8] = match message {
            Message::Binary(b) => b,
            Message::Text(t) => t.as_bytes(),
            _ => return None,
        };
        let (first, rest) = bytes.split_first()?;
        if self.base64 {
            let channel = first.checked_sub(b'0').filter(|c| *c < 10)?;
            return Some(Said::Data(channel, STANDARD.decode(rest).ok()?));
        }
        match (*first, rest) {
            (CLOSE, [channel, ..]) if self.version == 5 => Some(Said::Closed(*channel)),
            (channel, data) => Some(Said::Data(channel, data.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(names: &[&str]) -> Option<&'static str> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        choose(&names, false).map(|p| p.name)
    }

    #[test]
    fn protocols() {
        assert_eq!(offered(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), Some("v5.channel.k8s.io"));
        assert_eq!(offered(&["x", "base64.channel.k8s.io"]), Some("base64.channel.k8s.io"));
        assert_eq!(offered(&["x"]), None);
        assert_eq!(offered(&[]), Some(""));
    }

    #[test]
    fn protocols_over_spdy() {
        let chosen = |names: &[&str]| {
            of_streams(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).map(|p| p.version)
        };
        assert_eq!(chosen(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), Ok(4));
        assert_eq!(chosen(&["v2.channel.k8s.io"]), Ok(0));
        assert_eq!(chosen(&[]), Ok(0));
        assert!(chosen(&["x"]).is_err_and(|why| why.contains("client supports [x]")));
    }

    #[test]
    fn messages_there_and_back() {
        for p in EXEC {
            let m = p.message(STDOUT, b"a\0b");
            assert_eq!(p.read(&m), Some(Said::Data(STDOUT, b"a\0b".to_vec())), "{}", p.name);
        }
        assert_eq!(EXEC[0].read(&Message::binary(vec![255, 0])), Some(Said::Closed(STDIN)));
        assert_eq!(EXEC[2].read(&Message::text("x")), None);
        assert_eq!(EXEC[0].read(&Message::binary(vec![])), None);
    }
}
