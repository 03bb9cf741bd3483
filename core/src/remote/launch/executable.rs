//! The executable that the launcher uploads: its name on the host, and the platforms that it runs on.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::bounded_file;
use crate::error::{Error, ErrorKind, Result};

/// The maximum size of an executable, including debug symbols.
const MAX_SIZE: u64 = 2 << 30;

/// An executable file for the agent.
pub(super) struct AgentExecutable {
    path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Its SHA-256, in lower case hexadecimal.
    pub(super) hash: String,
    platform: Result<ElfPlatform, &'static str>,
}

impl AgentExecutable {
    /// Reads the file once: the upload sends the bytes that were hashed.
    pub(super) async fn read(path: &Path) -> Result<Self> {
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = bounded_file::read_within(&file, MAX_SIZE)?;
            let hash = format!("{:x}", Sha256::digest(&bytes));
            Ok(Self { path: file, platform: ElfPlatform::parse(&bytes), bytes, hash })
        });
        let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
        read.map_err(|error| {
            Error::usage("cannot read the executable for the agent")
                .with("agent-binary", path.display())
                .caused_by(error)
        })
    }

    /// The file name on the host: the version for people, the hash for dbgraft.
    pub(super) fn file_name(&self) -> String {
        format!("dbgraft-{}-{}", env!("CARGO_PKG_VERSION"), self.hash.get(..16).unwrap_or(&self.hash))
    }

    /// Checks that the executable runs on a host whose `uname -sm` prints `system`.
    pub(super) fn check_platform(&self, system: &str) -> Result<()> {
        let wrong = match &self.platform {
            Ok(platform) if platform.runs_on(system) => return Ok(()),
            Ok(platform) => format!("is built for {platform}"),
            Err(why) => format!("is {why}"),
        };
        let message = format!(
            "the host is {system}, and {} {wrong}: build or download a dbgraft for {system} and say --agent-binary \
             FILE, or install it there and say agent-path=FILE in the ssh:// URL",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Preflight, message))
    }
}

/// The platform in the header of an ELF file.
#[derive(Debug, PartialEq, Eq)]
struct ElfPlatform {
    /// The machine as `uname -m` prints it.
    machine: &'static str,
}

impl ElfPlatform {
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some((&[0x7f, b'E', b'L', b'F', class, order, _, system, ..], header)) = bytes.split_first_chunk::<16>()
        else {
            return Err("no executable for Linux");
        };
        let half = |at: usize| {
            let half = <[u8; 2]>::try_from(header.get(at..at + 2)?).ok()?;
            Some(if order == 2 { u16::from_be_bytes(half) } else { u16::from_le_bytes(half) })
        };
        // Compilers write 0 for Linux, and 3 is Linux by name; other numbers are the BSDs and so on.
        if class != 2 || !matches!(system, 0 | 3) {
            return Err("no 64-bit executable for Linux");
        }
        // A position-independent executable is a shared object too.
        if !matches!(half(0), Some(2 | 3)) {
            return Err("no executable");
        }
        let machine = match (half(2), order) {
            (Some(62), 1) => "x86_64",
            (Some(183), 1) => "aarch64",
            (Some(243), 1) => "riscv64",
            (Some(258), 1) => "loongarch64",
            (Some(21), 1) => "ppc64le",
            (Some(22), 2) => "s390x",
            _ => return Err("built for a machine that dbgraft does not know"),
        };
        Ok(Self { machine })
    }

    fn runs_on(&self, system: &str) -> bool {
        let Some(("Linux", machine)) = system.split_once(' ') else { return false };
        self.machine
            == match machine {
                "amd64" => "x86_64",
                "arm64" => "aarch64",
                other => other,
            }
    }
}

impl fmt::Display for ElfPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the part of an ELF header that the parser reads.
    fn header(class: u8, order: u8, system: u8, kind: u16, machine: u16) -> Vec<u8> {
        let half = |value: u16| if order == 2 { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, order, 1, system];
        bytes.extend([0; 8]);
        bytes.extend(half(kind));
        bytes.extend(half(machine));
        bytes.extend([0; 44]);
        bytes
    }

    #[test]
    fn the_elf_header_names_the_platform() {
        let machine =
            |order, machine| ElfPlatform::parse(&header(2, order, 0, 3, machine)).map(|platform| platform.to_string());
        assert_eq!(machine(1, 62).as_deref(), Ok("Linux x86_64"));
        assert_eq!(machine(1, 183).as_deref(), Ok("Linux aarch64"));
        assert_eq!(machine(2, 22).as_deref(), Ok("Linux s390x"));
        // Big-endian ARM is another machine.
        assert!(machine(2, 183).is_err());
        let platform = ElfPlatform::parse(&header(2, 1, 3, 2, 183)).unwrap();
        assert!(platform.runs_on("Linux aarch64") && platform.runs_on("Linux arm64"));
        assert!(!platform.runs_on("Linux x86_64") && !platform.runs_on("Darwin arm64") && !platform.runs_on("Linux"));
    }

    #[test]
    fn files_that_run_nowhere_are_refused() {
        assert_eq!(ElfPlatform::parse(b"#!/bin/sh\nexec dbgraft agent\n"), Err("no executable for Linux"));
        assert_eq!(ElfPlatform::parse(b"\x7fELF"), Err("no executable for Linux"));
        assert_eq!(ElfPlatform::parse(b"\xcf\xfa\xed\xfe macOS, not Linux"), Err("no executable for Linux"));
        assert_eq!(ElfPlatform::parse(&header(1, 1, 0, 2, 62)), Err("no 64-bit executable for Linux"));
        assert_eq!(ElfPlatform::parse(&header(2, 1, 9, 2, 62)), Err("no 64-bit executable for Linux"));
        // An object file, a core dump, and a header that ends too early.
        assert_eq!(ElfPlatform::parse(&header(2, 1, 0, 1, 62)), Err("no executable"));
        assert_eq!(ElfPlatform::parse(&header(2, 1, 0, 4, 62)), Err("no executable"));
        assert_eq!(ElfPlatform::parse(&header(2, 1, 0, 2, 62)[..17]), Err("no executable"));
    }

    #[tokio::test]
    async fn the_test_executable_runs_on_this_machine_only() {
        let own = AgentExecutable::read(&std::env::current_exe().unwrap()).await.unwrap();
        assert!(own.check_platform(&format!("Linux {}", std::env::consts::ARCH)).is_ok());
        let error = own.check_platform("Linux sparc64").unwrap_err().to_string();
        assert!(error.contains("the host is Linux sparc64") && error.contains("--agent-binary"), "{error}");
        assert!(error.contains(std::env::consts::ARCH) && error.contains("agent-path="), "{error}");
    }
}
