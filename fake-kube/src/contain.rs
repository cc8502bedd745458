//! `fake-kube contain PARENT COMMAND..`: becomes the command, and ends when its parent does, however that ends. With
//! `--terminal` it leads a session of its own, whose terminal is its input. What starts the processes of `--run`; nobody
//! types it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setsid};

#[derive(clap::Args)]
pub struct Contain {
    #[arg(long)]
    terminal: bool,
    parent: i32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// The words before a command.
pub fn starter(in_terminal: bool) -> anyhow::Result<Vec<OsString>> {
    let own = std::env::current_exe().context("find the program of this process")?;
    let mut words: Vec<OsString> = vec![own.into(), "contain".into()];
    if in_terminal {
        words.push("--terminal".into());
    }
    words.push(std::process::id().to_string().into());
    Ok(words)
}

pub fn run(contain: &Contain) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("be told of the end of the cluster")?;
    // It may have ended before that was asked for.
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != contain.parent) {
        bail!("start a container: the cluster that asked for it is gone");
    }
    if contain.terminal {
        setsid().context("lead a session")?;
        ioctl_tiocsctty(std::io::stdin()).context("take the terminal")?;
    }
    let (program, arguments) = contain.command.split_first().context("start a container: no command")?;
    let error = std::process::Command::new(program).args(arguments).exec();
    eprintln!("start {}: {error}", program.to_string_lossy());
    // As shells answer.
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    std::process::exit(code)
}
