//! A temporary table with the columns of a table, which shows what the target computes from rows before they are
//! written.

use super::super::connect::Conn;
use super::super::ddl::{quote_name, temporary_table};
use super::super::load::{self, LoadOptions};
use super::super::row_reader::RowReader;
use super::super::target::TargetDatabase;
use super::super::{column, session};
use super::settings::SessionSettings;
use crate::batch::Batch;
use crate::catalog::{Column, Flavor, Table};
use crate::codec::row_texts;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;

const SCRATCH_NAME: &str = "_dbgraft_scratch";
/// The column that numbers the rows.
const ROW_NUMBER: &str = "_dbgraft_row";

/// The columns of a scratch table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScratchColumns {
    /// All columns: the scratch table computes what the table would.
    All,
    /// Only the columns that are loaded: the scratch table shows whether the rows themselves fit.
    Loaded,
}

/// A connection with its scratch table, which is lost with the connection.
pub(super) struct ScratchTable {
    conn: Conn,
    table: Table,
    create: String,
    /// The settings under which the server opened the table; `None` if it does not exist.
    opened: Option<SessionSettings>,
}

impl ScratchTable {
    /// Creates the table; `None` if the server refuses it, or if its definition cannot be parsed.
    pub(super) async fn create(
        target: &TargetDatabase,
        table: &Table,
        columns: ScratchColumns,
    ) -> Result<Option<Self>> {
        let keep = |name: &str| {
            let generated = |column: &Column| column.name == name && column.generated;
            columns == ScratchColumns::All || !table.columns.iter().any(generated)
        };
        let Some(create) = temporary_table(&table.create, SCRATCH_NAME, ROW_NUMBER, keep) else { return Ok(None) };
        let mut conn = session::open_writer(&target.address, &target.options).await?;
        conn.exec(&format!("USE {}", quote_name(&target.address.database))).await?;
        conn.try_set_each(match conn.server.flavor {
            // Keeps the table out of the binary log, if the account may do that.
            Flavor::MySql => &["sql_log_bin = 0", "innodb_strict_mode = 0", "explicit_defaults_for_timestamp = 1"],
            Flavor::MariaDb => &[
                "sql_log_bin = 0",
                "innodb_strict_mode = 0",
                "explicit_defaults_for_timestamp = 1",
                "check_constraint_checks = 0",
            ],
        })
        .await?;
        let table = Table { name: SCRATCH_NAME.to_owned(), ..table.clone() };
        let mut scratch = Self { conn, table, create, opened: None };
        // Some tables need other settings than the usual ones.
        let made = scratch.recreate_with(&SessionSettings::default()).await?
            || scratch.recreate_with(&SessionSettings::signed_subtraction()).await?;
        Ok(made.then_some(scratch))
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Creates the table again, so that the server opens it under these settings. Returns false if the server refuses.
    pub(super) async fn recreate_with(&mut self, settings: &SessionSettings) -> Result<bool> {
        let wanted = settings.fixed_at_table_open();
        if self.opened.as_ref() == Some(&wanted) {
            return Ok(true);
        }
        self.conn.exec(&format!("DROP TEMPORARY TABLE IF EXISTS {}", quote_name(SCRATCH_NAME))).await?;
        self.opened = None;
        self.conn.exec(&format!("SET SESSION {}", wanted.assignments(session::LENIENT_MODES))).await?;
        let made = self.conn.exec(&self.create).await;
        self.conn.exec(&format!("SET SESSION {}", wanted.default_assignments(session::STRICT_MODES))).await?;
        match made {
            Err(error) if error.code().is_none() => Err(error),
            Err(_) => Ok(false),
            Ok(_) => {
                self.opened = Some(wanted);
                Ok(true)
            }
        }
    }

    /// Loads the rows in strict mode.
    pub(super) async fn load_strictly(&mut self, target: &TargetDatabase, batch: &Batch) -> Result<()> {
        self.fill(target, batch, &LoadOptions::default()).await
    }

    /// Loads the rows under these settings, and ignores warnings.
    pub(super) async fn load_leniently(
        &mut self,
        target: &TargetDatabase,
        batch: &Batch,
        settings: &SessionSettings,
    ) -> Result<()> {
        let filled = self
            .fill(target, batch, &LoadOptions { lenient: true, settings: settings.clone(), ..LoadOptions::default() })
            .await;
        if filled.as_ref().is_err_and(|error| error.code().is_some()) {
            self.conn.exec(&format!("SET SESSION {}", settings.default_assignments(session::STRICT_MODES))).await?;
        }
        filled
    }

    async fn fill(&mut self, target: &TargetDatabase, batch: &Batch, options: &LoadOptions) -> Result<()> {
        // TRUNCATE would make the server open the table again, under the current settings.
        self.conn.exec(&format!("DELETE FROM {}", quote_name(SCRATCH_NAME))).await?;
        let (can_load_data, max_allowed_packet) = {
            let state = target.state();
            (state.can_load_data, state.max_allowed_packet)
        };
        let database = &target.address.database;
        match can_load_data {
            true => load::load_data(&mut self.conn, database, &self.table, batch, options).await,
            false => load::insert_rows(&mut self.conn, database, &self.table, batch, max_allowed_packet, options).await,
        }
    }

    /// Reads the values of these columns, as text, for each row of a batch.
    pub(super) async fn read_values(mut self, batch: &Batch, columns: &[Column]) -> Result<(Self, Vec<Vec<u8>>)> {
        let columns: Vec<String> = columns.iter().map(column::read_expression).collect();
        // A conversion would change the stored values.
        self.conn.exec("SET SESSION character_set_results = NULL").await?;
        let order = quote_name(ROW_NUMBER);
        let sql = format!("SELECT {} FROM {} ORDER BY {order}", columns.join(", "), quote_name(SCRATCH_NAME));
        let memory = MemoryBudget::new(u64::try_from(batch.data.len()).unwrap_or(u64::MAX).max(1 << 20), 1);
        let mut reader = RowReader::open(self.conn, &sql).await?;
        let mut computed = Vec::new();
        while let Some(read) = reader.next_batch(batch.id, &memory).await? {
            computed.extend(row_texts(&read.data).map(<[u8]>::to_vec));
        }
        self.conn = reader.close().await?;
        if computed.len() as u64 != batch.rows {
            return Err(Error::new(ErrorKind::Internal, "a temporary table did not keep all its rows"));
        }
        Ok((self, computed))
    }
}
