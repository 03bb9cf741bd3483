//! A temporary table of a table's columns: what the target makes of rows is seen before they are written.

use super::super::connect::Conn;
use super::super::ddl::{quote_name, temporary_table};
use super::super::load::{self, Loading};
use super::super::read::RowReader;
use super::super::target::Target;
use super::super::{column, session};
use super::settings::Settings;
use crate::batch::Batch;
use crate::catalog::{Column, Flavor, Table};
use crate::codec::row_texts;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;

const NAME: &str = "_dbgraft_scratch";
/// Numbers the rows.
const COUNTER: &str = "_dbgraft_row";

/// Which columns a scratch table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// All of them: computes what the table would.
    All,
    /// Those that are loaded: shows whether the rows themselves fit.
    Loaded,
}

/// A connection with its scratch table. A lost connection costs it.
pub(super) struct Scratch {
    conn: Conn,
    table: Table,
    create: String,
    /// The settings under which the server opened it; `None` where it is not there.
    opened: Option<Settings>,
}

impl Scratch {
    /// Makes the table; `None` where the server does not let us, or its definition is not understood.
    pub(super) async fn open(target: &Target, table: &Table, columns: Columns) -> Result<Option<Self>> {
        let keep = |name: &str| {
            let generated = |column: &Column| column.name == name && column.generated;
            columns == Columns::All || !table.columns.iter().any(generated)
        };
        let Some(create) = temporary_table(&table.create, NAME, COUNTER, keep) else { return Ok(None) };
        let mut conn = session::writer(&target.address, &target.options).await?;
        conn.exec(&format!("USE {}", quote_name(&target.address.database))).await?;
        conn.try_set_each(match conn.server.flavor {
            // No replica needs to know of it, where the account may say so.
            Flavor::MySql => &["sql_log_bin = 0", "innodb_strict_mode = 0", "explicit_defaults_for_timestamp = 1"],
            Flavor::MariaDb => &[
                "sql_log_bin = 0",
                "innodb_strict_mode = 0",
                "explicit_defaults_for_timestamp = 1",
                "check_constraint_checks = 0",
            ],
        })
        .await?;
        let table = Table { name: NAME.to_owned(), ..table.clone() };
        let mut scratch = Self { conn, table, create, opened: None };
        // Some tables can be made under other settings than ours only.
        let made = scratch.make_under(&Settings::default()).await? || scratch.make_under(&Settings::signed()).await?;
        Ok(made.then_some(scratch))
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Makes the table, and has the server open it, under these settings; says whether the server does so.
    pub(super) async fn make_under(&mut self, settings: &Settings) -> Result<bool> {
        let wanted = settings.fixed_at_open();
        if self.opened.as_ref() == Some(&wanted) {
            return Ok(true);
        }
        self.conn.exec(&format!("DROP TEMPORARY TABLE IF EXISTS {}", quote_name(NAME))).await?;
        self.opened = None;
        self.conn.exec(&format!("SET SESSION {}", wanted.assignments(session::LENIENT))).await?;
        let made = self.conn.exec(&self.create).await;
        self.conn.exec(&format!("SET SESSION {}", wanted.defaults(session::STRICT))).await?;
        match made {
            Err(error) if error.code().is_none() => Err(error),
            Err(_) => Ok(false),
            Ok(_) => {
                self.opened = Some(wanted);
                Ok(true)
            }
        }
    }

    /// Loads the rows as a strict server would.
    pub(super) async fn load_strictly(&mut self, target: &Target, batch: &Batch) -> Result<()> {
        self.fill(target, batch, &Loading::default()).await
    }

    /// Loads the rows under these settings, with all that the server warns of.
    pub(super) async fn load(&mut self, target: &Target, batch: &Batch, settings: &Settings) -> Result<()> {
        let filled = self.fill(target, batch, &Loading { lenient: true, settings: settings.clone() }).await;
        if filled.as_ref().is_err_and(|error| error.code().is_some()) {
            self.conn.exec(&format!("SET SESSION {}", settings.defaults(session::STRICT))).await?;
        }
        filled
    }

    async fn fill(&mut self, target: &Target, batch: &Batch, loading: &Loading) -> Result<()> {
        // TRUNCATE would have the server open it anew, under the settings of the moment.
        self.conn.exec(&format!("DELETE FROM {}", quote_name(NAME))).await?;
        let (files, packet) = {
            let state = target.state();
            (state.files, state.packet)
        };
        let database = &target.address.database;
        match files {
            true => load::by_file(&mut self.conn, database, &self.table, batch, loading).await,
            false => load::by_insert(&mut self.conn, database, &self.table, batch, packet, loading).await,
        }
    }

    /// What these columns of the rows of a batch are now, as text.
    pub(super) async fn values(mut self, batch: &Batch, columns: &[Column]) -> Result<(Self, Vec<Vec<u8>>)> {
        let columns: Vec<String> = columns.iter().map(column::read_expression).collect();
        // As stored: a conversion would be another value.
        self.conn.exec("SET SESSION character_set_results = NULL").await?;
        let order = quote_name(COUNTER);
        let sql = format!("SELECT {} FROM {} ORDER BY {order}", columns.join(", "), quote_name(NAME));
        let memory = MemoryBudget::new(u64::try_from(batch.data.len()).unwrap_or(u64::MAX).max(1 << 20), 1);
        let mut reader = RowReader::open(self.conn, &sql).await?;
        let mut computed = Vec::new();
        while let Some(read) = reader.next(batch.id, &memory).await? {
            computed.extend(row_texts(&read.data).map(<[u8]>::to_vec));
        }
        self.conn = reader.finish().await?;
        if computed.len() as u64 != batch.rows {
            return Err(Error::new(ErrorKind::Internal, "a temporary table did not keep all its rows"));
        }
        Ok((self, computed))
    }
}
