//! MariaDB and sshd from the machine's own distribution.

use std::path::Path;
use std::process::{Command, Stdio};

use super::advice;
use crate::error::{Context, Result};
use crate::programs::on_path;
use crate::template::is_root;

/// A package, the programs of it that the test kit runs, and the service that its installation starts.
const WANTED: [(&str, &[&str], &str); 2] = [
    ("mariadb-server", &["mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump"], "mariadb"),
    ("openssh-server", &["sshd", "ssh-keygen"], "ssh"),
];

pub(super) fn install(say: &mut impl FnMut(&str)) -> Result<()> {
    let missing: Vec<_> =
        WANTED.iter().filter(|(_, programs, _)| programs.iter().any(|program| on_path(program).is_none())).collect();
    let names: Vec<_> = missing.iter().map(|(package, ..)| *package).collect();
    if names.is_empty() {
        say("mariadb-server, openssh-server: already here");
        return Ok(());
    }
    say(&format!("installing {}", names.join(", ")));
    let install = ["install", "-y", "--no-install-recommends"];
    // The lists of a fresh machine may be missing, or name servers whose faults are long mended. Without a network the old
    // lists have to do.
    apt(&["update"])?;
    if !apt(&[install.as_slice(), &names].concat())? {
        return Err(advice(format!("apt-get could not install {}", names.join(", "))));
    }
    // The servers that the packages bring along are of no use here. Only ones that were not there before.
    for (_, _, service) in missing {
        if let Some(program) = on_path("service") {
            let _ = as_root(program).args([*service, "stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
    Ok(())
}

fn apt(args: &[&str]) -> Result<bool> {
    let status =
        as_root("apt-get").args(args).stdout(Stdio::null()).status().context("cannot run apt-get").map_err(advice)?;
    Ok(status.success())
}

fn as_root(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    let mut command = if is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("DEBIAN_FRONTEND=noninteractive").arg(program);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
