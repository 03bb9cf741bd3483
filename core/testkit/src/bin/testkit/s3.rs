//! An S3 server: s3s over a directory.

use std::env;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

use crate::Failure;

/// Prints `serving` when it accepts connections, then serves until it is killed.
pub(crate) fn serve(port: u16, root: &Path) -> Result<(), Failure> {
    let files = FileSystem::new(root).map_err(|error| format!("cannot serve {}: {error:?}", root.display()))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(env::var("AWS_ACCESS_KEY_ID")?, env::var("AWS_SECRET_ACCESS_KEY")?));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(accept(port, builder.build()))
}

async fn accept(port: u16, service: S3Service) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    writeln!(io::stdout(), "serving")?;
    io::stdout().flush()?;
    let http = Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        // Ignores clients that disconnect.
        tokio::spawn(async move { drop(connection.await) });
    }
}
