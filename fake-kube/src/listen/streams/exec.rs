//! Commands and attached containers as channels: output, then a Status on the error channel, then the end.
//! A shell or `cat` that reads its input does so as long as the client keeps it open.

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::Place;
use super::channels::{ERROR, Protocol, STDERR, STDIN, STDOUT, Said};
use crate::kubelet::commands::{Output, is_shell};
use crate::listen::upgrade::{Hold, WebSocket, close, open};

/// Output goes out in pieces of this size.
const PIECE: usize = 32 << 10;
/// Longest line typed into a shell.
const LINE_MAX: usize = 64 << 10;

pub(super) struct Session {
    pub(super) place: Place,
    /// None: the container's own output is wanted.
    pub(super) command: Option<Vec<String>>,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// How it ended, for the error channel.
enum End {
    Code(i32),
    Failed(String),
}

/// The client is gone, or the server stops.
struct Gone;

struct Line {
    socket: WebSocket,
    protocol: Protocol,
    hold: Hold,
    /// stderr goes where stdout goes.
    merged: bool,
}

pub(super) async fn run(session: Session, protocol: Protocol, on: OnUpgrade, hold: Hold) {
    let Some(socket) = open(on).await else { return };
    let mut line = Line { socket, protocol, hold, merged: session.tty };
    // Tells the client that the connection is established (kubelet, remotecommand/websocket.go).
    let first = match (session.stdout, session.stderr) {
        (true, _) => STDOUT,
        (_, true) => STDERR,
        _ => ERROR,
    };
    if line.send(first, b"").await.is_ok()
        && let Ok(end) = session.carry(&mut line).await
    {
        let status = status(protocol, session.command.as_deref().unwrap_or_default(), end);
        if !status.is_empty() || protocol.version == 0 {
            let _ = line.send(ERROR, status.as_bytes()).await;
        }
    }
    close(&mut line.socket).await;
    // The client's answer to the close, so that it sees everything before the connection goes.
    let rest = async { while let Some(Ok(_)) = line.socket.next().await {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), rest).await;
}

impl Session {
    async fn carry(&self, line: &mut Line) -> Result<End, Gone> {
        let Some(command) = &self.command else { return self.attach(line).await };
        if self.stdin && is_shell(command) {
            return self.shell(line).await;
        }
        if self.stdin && command.len() == 1 && command[0].ends_with("cat") {
            return self.echo(line).await;
        }
        match self.command(line, command).await? {
            Ok(Some(output)) => {
                line.output(self, &output).await?;
                Ok(End::Code(output.code))
            }
            Ok(None) => {
                let text = format!(
                    "OCI runtime exec failed: exec failed: unable to start container process: exec: {:?}: executable file not \
                     found in $PATH: unknown\n",
                    command[0]
                );
                line.output(self, &Output { stderr: text, ..Output::default() }).await?;
                Ok(End::Code(127))
            }
            Err(why) => Ok(End::Failed(format!("unable to upgrade connection: {why}"))),
        }
    }

    /// Runs it, and lets the time pass that it takes.
    async fn command(
        &self,
        line: &mut Line,
        argv: &[String],
    ) -> Result<Result<Option<Output>, String>, Gone> {
        let place = &self.place;
        let done = place.cluster.exec(&place.namespace, &place.pod, &place.container, argv);
        if let Ok(Some(output)) = &done
            && !output.took.is_zero()
        {
            tokio::select! {
                () = place.cluster.pass(output.took) => {}
                () = line.gone() => return Err(Gone),
            }
        }
        Ok(done)
    }

    async fn shell(&self, line: &mut Line) -> Result<End, Gone> {
        if let Err(why) =
            self.place.cluster.exec(&self.place.namespace, &self.place.pod, &self.place.container, &[])
        {
            return Ok(End::Failed(format!("unable to upgrade connection: {why}")));
        }
        let (mut typed, mut code) = (String::new(), 0);
        line.prompt(self).await?;
        loop {
            let Some(bytes) = line.input().await? else { return Ok(End::Code(code)) };
            if self.tty {
                line.send(STDOUT, String::from_utf8_lossy(&bytes).replace('\r', "\r\n").as_bytes()).await?;
            }
            typed.push_str(&String::from_utf8_lossy(&bytes).replace('\r', "\n"));
            // Control-D on an empty line.
            if self.tty && typed == "\u{4}" {
                return Ok(End::Code(code));
            }
            if typed.len() > LINE_MAX {
                return Ok(End::Code(2));
            }
            while let Some(at) = typed.find('\n') {
                let text: String = typed.drain(..=at).collect();
                let argv = ["sh", "-c", text.trim()].map(str::to_owned);
                match self.command(line, &argv).await? {
                    Ok(Some(output)) => {
                        line.output(self, &output).await?;
                        code = output.code;
                        if output.exits {
                            return Ok(End::Code(code));
                        }
                    }
                    // The container ended below the shell.
                    _ => return Ok(End::Code(137)),
                }
                line.prompt(self).await?;
            }
        }
    }

    async fn echo(&self, line: &mut Line) -> Result<End, Gone> {
        while let Some(bytes) = line.input().await? {
            line.send(STDOUT, &bytes).await?;
        }
        Ok(End::Code(0))
    }

    async fn attach(&self, line: &mut Line) -> Result<End, Gone> {
        let place = &self.place;
        let Some(mut log) = place.cluster.follow(&place.namespace, &place.pod, &place.container) else {
            let why = format!("container not found ({:?})", place.container);
            return Ok(End::Failed(format!("unable to upgrade connection: {why}")));
        };
        loop {
            tokio::select! {
                piece = log.next() => match piece {
                    Some(text) => line.send(STDOUT, &text).await?,
                    None => return Ok(End::Code(0)),
                },
                () = line.gone() => return Err(Gone),
            }
        }
    }
}

impl Line {
    async fn send(&mut self, channel: u8, data: &[u8]) -> Result<(), Gone> {
        let channel = if self.merged && channel == STDERR { STDOUT } else { channel };
        self.socket.send(self.protocol.message(channel, data)).await.map_err(|_| Gone)
    }

    async fn output(&mut self, session: &Session, output: &Output) -> Result<(), Gone> {
        let both = [
            (STDOUT, &output.stdout, session.stdout),
            (STDERR, &output.stderr, session.stderr || session.tty),
        ];
        for (channel, text, wanted) in both {
            // A terminal ends its lines with both characters.
            let text = if session.tty { text.replace('\n', "\r\n") } else { text.clone() };
            for piece in text.as_bytes().chunks(PIECE).filter(|_| wanted) {
                self.send(channel, piece).await?;
            }
        }
        Ok(())
    }

    async fn prompt(&mut self, session: &Session) -> Result<(), Gone> {
        if session.tty { self.send(STDOUT, b"/ # ").await } else { Ok(()) }
    }

    /// What the client types; None when it closed its end.
    async fn input(&mut self) -> Result<Option<Vec<u8>>, Gone> {
        loop {
            let message = tokio::select! {
                m = self.socket.next() => m,
                () = self.hold.stopped() => return Err(Gone),
            };
            match message {
                Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Ok(m)) => match self.protocol.read(&m) {
                    Some(Said::Data(STDIN, bytes)) if !bytes.is_empty() => return Ok(Some(bytes)),
                    Some(Said::Closed(STDIN)) => return Ok(None),
                    // Sizes of terminals, pings.
                    _ => {}
                },
                _ => return Err(Gone),
            }
        }
    }

    /// Ends when nobody listens any more.
    async fn gone(&mut self) {
        loop {
            tokio::select! {
                m = self.socket.next() => if !matches!(m, Some(Ok(ref m)) if !m.is_close()) { return },
                () = self.hold.stopped() => return,
            }
        }
    }
}

/// The last word on the error channel: a Status since version 4, plain text before.
fn status(protocol: Protocol, command: &[String], end: End) -> String {
    let value: Value = match &end {
        End::Code(0) if protocol.version == 0 => return String::new(),
        End::Code(0) => json!({"metadata": {}, "status": "Success"}),
        End::Code(code) => {
            let message = format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            );
            if protocol.version == 0 {
                return message;
            }
            json!({"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}})
        }
        End::Failed(why) if protocol.version == 0 => return why.clone(),
        End::Failed(why) => json!({"metadata": {}, "status": "Failure",
            "message": format!("Internal error occurred: {why}"), "reason": "InternalError",
            "details": {"causes": [{"message": why}]}, "code": 500}),
    };
    value.to_string()
}
