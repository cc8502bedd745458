//! Commands and attached containers as channels: output, then a Status on the error channel, then the end.
//! A shell or `cat` that reads its input does so as long as the client keeps it open.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::Place;
use super::carrier::Carrier;
use super::channels::{ERROR, Protocol, STDERR, STDIN, STDOUT, Said};
use super::{attach, beside, terminal};
use crate::host::group::code;
use crate::kubelet::commands::{Output, is_shell};
use crate::listen::upgrade::Hold;

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
pub(super) enum End {
    Code(i32),
    Failed(String),
}

impl End {
    pub(super) fn of(status: std::io::Result<std::process::ExitStatus>) -> End {
        status.map_or_else(|why| End::Failed(why.to_string()), |status| End::Code(code(status)))
    }
}

/// The client is gone, or the server stops.
pub(super) struct Gone;

pub(super) struct Line {
    carrier: Carrier,
    hold: Hold,
    /// stderr goes where stdout goes.
    merged: bool,
}

pub(super) async fn run(session: Session, protocol: Protocol, carrier: Carrier, hold: Hold) {
    let mut line = Line { carrier, hold, merged: session.tty };
    // Tells the client that the connection is established (kubelet, remotecommand/websocket.go).
    let first = match (session.stdout, session.stderr) {
        (true, _) => STDOUT,
        (_, true) => STDERR,
        _ => ERROR,
    };
    let greeted = match &line.carrier {
        Carrier::Socket(..) => line.send(first, b"").await.is_ok(),
        Carrier::Streams(_) => true,
    };
    if greeted && let Ok(end) = session.carry(&mut line).await {
        let status = status(protocol, session.command.as_deref().unwrap_or_default(), end);
        if !status.is_empty() || protocol.version == 0 {
            let _ = line.send(ERROR, status.as_bytes()).await;
        }
    }
    line.carrier.finish().await;
}

impl Session {
    /// The channels that a client opens a stream for, where channels are streams.
    pub(super) fn streams(&self) -> Vec<u8> {
        let optional = [(STDIN, self.stdin), (STDOUT, self.stdout), (STDERR, self.stderr && !self.tty)];
        let wanted = optional.into_iter().filter(|(_, wanted)| *wanted).map(|(channel, _)| channel);
        std::iter::once(ERROR).chain(wanted).collect()
    }

    async fn carry(&self, line: &mut Line) -> Result<End, Gone> {
        let Some(command) = &self.command else { return self.attach(line).await };
        let Place { cluster, namespace, pod, container, .. } = &self.place;
        if let Some(process) = cluster.beside(namespace, pod, container, command, self.tty) {
            return match self.tty {
                true => terminal::run(self, process, line).await,
                false => beside::run(self, process, line).await,
            };
        }
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
        if let Some(process) = place.cluster.attach(&place.namespace, &place.pod, &place.container) {
            return attach::run(self, process, line).await;
        }
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
        if self.carrier.send(channel, data).await { Ok(()) } else { Err(Gone) }
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
            let said = tokio::select! {
                said = self.carrier.receive() => said,
                () = self.hold.stopped() => return Err(Gone),
            };
            match said {
                Some(Said::Data(STDIN, bytes)) if !bytes.is_empty() => return Ok(Some(bytes)),
                Some(Said::Closed(STDIN)) | None => return Ok(None),
                // Sizes of terminals.
                Some(_) => {}
            }
        }
    }

    /// Output of a process of this machine as it comes, where the client wants it.
    pub(super) async fn tell(&mut self, session: &Session, channel: u8, bytes: &[u8]) -> Result<(), Gone> {
        let is_wanted = if channel == STDERR { session.stderr } else { session.stdout };
        match is_wanted && !bytes.is_empty() {
            true => self.send(channel, bytes).await,
            false => Ok(()),
        }
    }

    /// What the client says.
    pub(super) async fn receive(&mut self) -> Result<Said, Gone> {
        tokio::select! {
            said = self.carrier.receive() => said.ok_or(Gone),
            () = self.hold.stopped() => Err(Gone),
        }
    }

    /// Ends when nobody listens any more.
    pub(super) async fn gone(&mut self) {
        tokio::select! {
            () = async { while self.carrier.receive().await.is_some() {} } => {}
            () = self.hold.stopped() => {}
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
