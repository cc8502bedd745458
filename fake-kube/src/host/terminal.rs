//! A terminal (pty) of this machine: our end of it, and the other one for a process to live at. Line editing, echo and the
//! signals of Control-C and its like are the kernel's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

pub struct Terminal(OwnedFd);

impl Terminal {
    /// Ours, and the end that becomes a process's input and output.
    pub fn open() -> io::Result<(Terminal, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        Ok((Terminal(ours), theirs))
    }

    pub fn resize(&self, size: Size) {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        // One that is gone needs no size.
        let _ = tcsetwinsize(&self.0, size);
    }

    pub fn try_clone(&self) -> io::Result<Terminal> {
        Ok(Terminal(self.0.try_clone()?))
    }

    pub fn into_file(self) -> std::fs::File {
        self.0.into()
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for Terminal {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

/// Of a terminal, as clients tell it (client-go, remotecommand `TerminalSize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

impl Size {
    /// None: it says nothing that can be understood.
    pub fn read(message: &[u8]) -> Option<Size> {
        let size: serde_json::Value = serde_json::from_slice(message).ok()?;
        let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
        Some(Size { columns: side("Width")?, rows: side("Height")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<(u16, u16)>| {
            let expected = expected.map(|(columns, rows)| Size { columns, rows });
            assert_eq!(Size::read(text.as_bytes()), expected, "{text}");
        };
        check(r#"{"Width":120,"Height":40}"#, Some((120, 40)));
        check("{\"Width\":0,\"Height\":0}\n", Some((0, 0)));
        check(r#"{"Width":70000,"Height":40}"#, None);
        check(r#"{"Width":120}"#, None);
        check("no size", None);
    }
}
