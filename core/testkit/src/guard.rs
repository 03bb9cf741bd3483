//! Ends a server when the process that started it ends, even by SIGKILL.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Context, Error, Result};

const SCRIPT: &str = include_str!("guard.sh");

/// A program with its arguments and environment variables.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
}

/// Owns a directory and the server that works in it. Dropping it stops the server and removes the directory.
///
/// A shell process in a separate session controls both. The write end of the pipe to it is close-on-exec, so no other
/// child holds it, and the kernel closes it when this process ends.
#[derive(Debug)]
pub(crate) struct ProcessGuard {
    dir: PathBuf,
    inner: Mutex<GuardState>,
}

#[derive(Debug)]
struct GuardState {
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: Option<u32>,
}

impl ProcessGuard {
    /// Takes ownership of `dir`; starts no server yet.
    pub(crate) fn new(dir: PathBuf, program: Program) -> Result<Self> {
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", SCRIPT, "guard"])
            .arg(&dir)
            .arg(program.path)
            .args(program.args)
            .envs(program.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run setsid (package util-linux)")?;
        let commands = shell.stdin.take();
        let answers = shell.stdout.take().ok_or_else(|| Error::new("the guard has no output"))?;
        let inner = GuardState { shell, commands, answers: BufReader::new(answers), pid: None };
        Ok(Self { dir, inner: Mutex::new(inner) })
    }

    /// Starts the server. None must be running.
    pub(crate) fn start(&self) -> Result<()> {
        let mut inner = self.lock();
        let answer = inner.ask("start")?;
        inner.pid = Some(answer.parse().context("the guard answered no process id")?);
        Ok(())
    }

    /// Kills the server (SIGKILL) with all its children, and returns when it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut inner = self.lock();
        inner.ask("kill")?;
        inner.pid = None;
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().pid
    }

    /// Whether the server's process is there (and not a zombie).
    pub(crate) fn is_running(&self) -> bool {
        self.pid().is_some_and(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .ok()
                .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with(['Z', 'X'])))
                == Some(false)
        })
    }

    /// What the server wrote to its standard output and error.
    pub(crate) fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, GuardState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuardState {
    fn ask(&mut self, command: &str) -> Result<String> {
        let pipe = self.commands.as_mut().ok_or_else(|| Error::new("the guard is gone"))?;
        writeln!(pipe, "{command}").context("the guard is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("the guard is gone")?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        let mut inner = self.lock();
        inner.commands = None;
        let _ = inner.shell.wait();
    }
}
