//! The fuzz targets of what a server sends: its packets, its binary log, and its definitions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::{Conn, ServerAddress, ServerRole};
use super::ddl::{
    DatabaseRename, DefinerRewrite, Dialect, decode_definition, disable_event, join_tokens, rename_database,
    rewrite_definer, split_table, table_parts, temporary_table, tokenize,
};
use super::row_reader::RowReader;
use super::{binlog, translate};
use crate::batch::BatchId;
use crate::catalog::{Catalog, Database, Definition, Flavor, ObjectKind, ObjectRef, Server, Table};
use crate::dial::{Dial, Duplex, SocketAddress, TrafficClass};
use crate::error::Result;
use crate::memory::MemoryBudget;

/// A server that sends prepared bytes and takes everything.
struct PreparedServer(std::io::Cursor<Vec<u8>>);

impl AsyncRead for PreparedServer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PreparedServer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct PreparedDialer(Vec<u8>);

#[async_trait]
impl Dial for PreparedDialer {
    async fn dial(&self, _: SocketAddress<'_>, _: TrafficClass) -> Result<Box<dyn Duplex>> {
        Ok(Box::new(PreparedServer(std::io::Cursor::new(self.0.clone()))))
    }
}

/// Makes packets of the input, whose first byte of each is the packet's length: the numbers of packets are right, so that
/// the content is read. `first` is the number of the first one.
fn packets(mut data: &[u8], first: u8) -> Vec<u8> {
    let (mut stream, mut sequence) = (Vec::new(), first);
    while let Some((length, rest)) = data.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        // At most 255 bytes.
        stream.extend_from_slice(&[u8::try_from(payload.len()).unwrap_or_default(), 0, 0, sequence]);
        stream.extend_from_slice(payload);
        sequence = sequence.wrapping_add(1);
        data = rest;
    }
    stream
}

fn block_on<T>(task: impl Future<Output = T>) {
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
        let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), task).await });
    }
}

fn address(stream: Vec<u8>) -> ServerAddress {
    let account = ("u".to_owned(), "p".to_owned().into());
    let mut address = ServerAddress::new(ServerRole::Source, ("127.0.0.1", 3306), account, "d".to_owned());
    address.dial = Arc::new(PreparedDialer(stream));
    address
}

/// Logs in to a server that sends these bytes.
pub fn server_login(data: &[u8]) {
    let address = address(packets(data, 0));
    block_on(async { Conn::open(&address, TrafficClass::Control, "SET NAMES utf8mb4").await.map(drop) });
}

/// Reads results from a server that sends these bytes: a small one, and rows in batches. The first byte chooses.
pub fn server_packets(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let server = Server::new(if mode & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb }, "10.5.9-MariaDB");
    let stream = Box::new(PreparedServer(std::io::Cursor::new(packets(data, 1))));
    let mut conn = Conn::from_stream(stream, server, mode & 2 != 0);
    block_on(async move {
        if mode & 4 == 0 {
            return conn.rows("SELECT 1").await.map(drop);
        }
        let mut reader = RowReader::open(conn, "SELECT 1").await?;
        let memory = MemoryBudget::new(1 << 20, 1);
        let mut id = BatchId { table: 0, chunk: 0, batch: 0 };
        while reader.next_batch(id, &memory).await?.is_some() {
            id.batch += 1;
        }
        Ok(())
    });
}

/// Reads the changes of a binary log with these events: see `binlog/fuzzing.rs`.
pub fn log_events(data: &[u8]) {
    binlog::log_events(data);
}

/// Takes the bytes for the text of each kind of definition. Their sum chooses the servers of the translation.
pub fn definitions(data: &[u8]) {
    let sum = data.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    let dialects = [false, true].map(|ansi_quotes| Dialect { ansi_quotes, no_backslash_escapes: !ansi_quotes });
    for dialect in dialects.into_iter().chain([Dialect::default()]) {
        let Some(text) = decode_definition(data, dialect) else { continue };
        assert_eq!(join_tokens(&tokenize(&text, dialect)), text, "tokens lose no byte");
        let rename = DatabaseRename { from: "d".to_owned(), to: "e".to_owned(), ignores_case: false };
        let _ = rename_database(&text, dialect, &rename);
        let _ = rewrite_definer(&text, dialect, &DefinerRewrite::Strip);
        let _ = disable_event(&text, dialect);
        let _ = split_table(&text, dialect);
        let _ = table_parts(&text);
        let _ = temporary_table(&text, "t", "n", |_| true);
        translate_text(&text, dialect, sum);
    }
}

fn translate_text(text: &str, dialect: Dialect, choice: u8) {
    let servers = [
        Server::new(Flavor::MySql, "5.6.24"),
        Server::new(Flavor::MySql, "9.7.4"),
        Server::new(Flavor::MariaDb, "10.11.19-MariaDB"),
        Server::new(Flavor::MariaDb, "11.8.3-MariaDB"),
    ];
    let names = || ("utf8mb4".to_owned(), "utf8mb4_general_ci".to_owned());
    let (charset, collation) = names();
    let (character_set_client, collation_connection) = names();
    let table = Table { create: text.to_owned(), ..Table::define("t", [("a", "int")], &[]) };
    let definition = |kind| Definition {
        object: ObjectRef::new(kind, "x"),
        create: text.to_owned(),
        sql_mode: if dialect.ansi_quotes { "ANSI_QUOTES" } else { "" }.to_owned(),
        character_set_client: character_set_client.clone(),
        collation_connection: collation_connection.clone(),
        database_collation: collation_connection.clone(),
        time_zone: String::new(),
        columns: Vec::new(),
        state: None,
    };
    let kinds = [ObjectKind::View, ObjectKind::Function, ObjectKind::Trigger, ObjectKind::Event, ObjectKind::Sequence];
    let chosen = |number: u8| servers.iter().cycle().nth(usize::from(number));
    let (Some(server), Some(target)) = (chosen(choice), chosen(choice / 4)) else { return };
    let catalog = Catalog {
        server: server.clone(),
        database: Database { name: "d".into(), charset, collation, comment: String::new() },
        tables: vec![table],
        definitions: kinds.into_iter().map(definition).collect(),
    };
    let _ = translate::catalog(&catalog, target);
}
