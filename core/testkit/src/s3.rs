use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::guard::{ProcessGuard, Program};
use crate::{binary, paths, port, random};

/// The address and the keys of an S3 server, and a bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// `http://127.0.0.1:port`; the bucket is a part of the path, not of the host.
    pub endpoint: String,
    /// The region of the server.
    pub region: String,
    /// Key id.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// A bucket that exists.
    pub bucket: String,
    /// The server's process, if the test kit started it.
    pub pid: Option<u32>,
    /// The directory of the server's files, if the test kit started it.
    pub data_dir: Option<PathBuf>,
}

impl Bucket {
    /// `s3://bucket/prefix`
    pub fn url_of(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }

    /// The keys of all objects below `prefix`, sorted, from the server's files.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let dir = self
            .data_dir
            .as_ref()
            .ok_or_else(|| Error::new("the files of this S3 server are not known"))?
            .join(&self.bucket);
        let mut keys = Vec::new();
        walk(&dir, "", &mut keys)?;
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        Ok(keys)
    }

    /// The standard environment variables of AWS for this server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint.clone()),
        ]
    }
}

fn walk(dir: &Path, prefix: &str, keys: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).at("cannot list", dir)? {
        let path = entry.at("cannot list", dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), keys)?;
        } else {
            keys.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// A running S3 server that stores objects as files in a directory. Dropping it stops it
/// and removes its files.
///
/// It dereferences to its [`Bucket`].
#[derive(Debug)]
pub struct S3 {
    info: Bucket,
    guard: ProcessGuard,
}

impl S3 {
    /// Starts a server with one empty bucket.
    pub fn start() -> Result<Self> {
        let testkit = binary::path()?;
        for _ in 0..5 {
            if let Some(server) = Self::start_at(port::free()?, &testkit)? {
                return Ok(server);
            }
        }
        Err(Error::new("the S3 server does not start"))
    }

    /// Returns `None` if another process took the port.
    fn start_at(port: u16, testkit: &Path) -> Result<Option<Self>> {
        let dir = paths::new_server_dir("s3")?;
        let data_dir = dir.join("data");
        let info = Bucket {
            endpoint: format!("http://{}:{port}", Ipv4Addr::LOCALHOST),
            region: "us-east-1".to_owned(),
            access_key: random::token(20)?.to_uppercase(),
            secret_key: random::token(40)?,
            bucket: format!("dbgraft-{}", random::token(8)?),
            pid: None,
            data_dir: Some(data_dir.clone()),
        };
        let program = Program {
            path: testkit.to_owned(),
            args: vec!["s3".into(), port.to_string().into(), data_dir.clone().into()],
            env: info.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let guard = ProcessGuard::new(dir, program)?;
        fs::create_dir_all(data_dir.join(&info.bucket)).at("cannot create", &data_dir)?;
        guard.start()?;
        let begun = Instant::now();
        while guard.log().trim() != "serving" {
            if !guard.is_running() {
                let log = guard.log();
                if log.contains("in use") {
                    return Ok(None);
                }
                return Err(Error::new(format!("the S3 server ended at its start: {log}")));
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(Error::new("the S3 server does not serve"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the S3 server does not serve")?;
        let info = Bucket { pid: guard.pid(), ..info };
        Ok(Some(Self { info, guard }))
    }

    /// Kills the server; its files stay until the handle is dropped.
    pub fn kill(&self) -> Result<()> {
        self.guard.kill()
    }

    /// Whether the server's process is there.
    pub fn is_running(&self) -> bool {
        self.guard.is_running()
    }

    /// Its bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.info
    }
}

impl Deref for S3 {
    type Target = Bucket;

    fn deref(&self) -> &Bucket {
        &self.info
    }
}
