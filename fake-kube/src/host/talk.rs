//! What a process says and is told: its output as lines of the container's log and as pieces for whoever is attached, and
//! what attached clients type into its input or its terminal.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};

use super::process::Link;
use super::terminal::Terminal;
use crate::programs::{Attached, ProcessEvent, Typed};

/// A longer line is told in pieces, as container runtimes do.
const LINE_MAX: usize = 16 << 10;
/// Pieces of output that wait for an attached client. One that falls behind misses some: the process does not wait for it.
const HEARD_MAX: usize = 256;
/// Pieces of input that wait for the process.
const TYPED_MAX: usize = 16;

/// Who listens to a process and types into it.
pub struct Audience {
    /// None once it has said everything.
    output: Mutex<Option<broadcast::Sender<Bytes>>>,
    input: Option<mpsc::Sender<Typed>>,
}

/// Where what is typed goes.
pub struct Input {
    pub writer: Box<dyn Write + Send>,
    /// Its size changes with the client's.
    pub terminal: Option<Terminal>,
    /// The first client that closes its input closes the process's (`stdinOnce`).
    pub once: bool,
}

impl Audience {
    /// `input`: the process reads.
    pub fn new(input: Option<Input>) -> std::io::Result<Arc<Audience>> {
        let typing = match input {
            None => None,
            Some(input) => {
                let (typing, typed) = mpsc::channel(TYPED_MAX);
                let thread = std::thread::Builder::new().name("container-input".to_owned());
                thread.spawn(move || type_in(input, typed))?;
                Some(typing)
            }
        };
        let (output, _) = broadcast::channel(HEARD_MAX);
        Ok(Arc::new(Audience { output: Mutex::new(Some(output)), input: typing }))
    }

    /// None: it has said everything.
    pub fn attach(&self) -> Option<Attached> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Attached { output: output.as_ref()?.subscribe(), input: self.input.clone() })
    }

    fn hear(&self, piece: &[u8]) {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(output) = output.as_ref().filter(|output| output.receiver_count() > 0) {
            // Whoever has gone meanwhile hears nothing.
            let _ = output.send(Bytes::copy_from_slice(piece));
        }
    }

    fn close(&self) {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Tells everything there is to read, until its end.
pub fn retell(mut output: impl Read, say: &SyncSender<ProcessEvent>, link: &Link, audience: &Audience) {
    let mut piece = vec![0; LINE_MAX];
    let mut line: Vec<u8> = Vec::new();
    loop {
        let n = match output.read(&mut piece) {
            Ok(n @ 1..) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A terminal whose other end is closed answers with an error.
            Ok(0) | Err(_) => break,
        };
        audience.hear(&piece[..n]);
        for part in piece[..n].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if (line.ends_with(b"\n") || line.len() >= LINE_MAX) && !tell(&mut line, say, link) {
                return audience.close();
            }
        }
    }
    if !line.is_empty() {
        tell(&mut line, say, link);
    }
    audience.close();
}

/// False: nobody listens any more.
fn tell(line: &mut Vec<u8>, say: &SyncSender<ProcessEvent>, link: &Link) -> bool {
    let text = String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned();
    line.clear();
    if let Err(full) = say.try_send(ProcessEvent::Log(text)) {
        // The kubelet has not looked yet, or nobody will.
        link.tell();
        let (std::sync::mpsc::TrySendError::Full(event) | std::sync::mpsc::TrySendError::Disconnected(event)) =
            full;
        if say.send(event).is_err() {
            return false;
        }
    }
    link.tell();
    true
}

fn type_in(mut input: Input, mut typed: mpsc::Receiver<Typed>) {
    while let Some(typed) = typed.blocking_recv() {
        match typed {
            Typed::Bytes(bytes) => {
                if input.writer.write_all(&bytes).and_then(|()| input.writer.flush()).is_err() {
                    // It reads no more.
                    return;
                }
            }
            Typed::Size(size) => {
                if let Some(terminal) = &input.terminal {
                    terminal.resize(size);
                }
            }
            Typed::End if input.once => return,
            Typed::End => {}
        }
    }
}
