//! Writes a batch into its table: strictly, or where only what the table computes raises warnings, leniently; and where
//! the table's rules refuse rows under our settings, under those that they take them under.

use super::connect::Conn;
use super::ddl::{Dialect, tokens};
use super::generated::{BatchDivision, BatchPart};
use super::load::LoadOptions;
use super::target::TargetDatabase;
use super::{column, journal, load, negative_zero, system_versioning};
use crate::batch::Batch;
use crate::catalog::{Flavor, Table};
use crate::codec::row_texts;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::TablePlan;

/// What a server says where a rule of the table refuses a row that the settings of another session let pass: a check, a
/// number out of range, no partition.
const RULE_VIOLATIONS: [u16; 4] = [3819, 4025, 1690, 1526];

/// How the rows of a batch are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteMode {
    /// Every warning is an error.
    Strict,
    /// The rows are known to fit.
    Lenient,
    /// The same, under whichever settings the table takes them.
    SettingsSearch,
}

impl TargetDatabase {
    /// Writes the batch, once.
    pub(super) async fn write_batch(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch) -> Result<()> {
        let division = self.divide_batch(table, batch, &conn.server).await?;
        if let Some(part) = division.parts.first() {
            self.reopen_table(conn, table, &part.settings).await?;
        }
        if is_transactional(&table.table) {
            match self.write_once(conn, table, batch, &division, WriteMode::Strict).await {
                Err(error) if is_row_refusal(&error) => {
                    conn.exec("ROLLBACK").await?;
                    match self.accepts_rows(&table.table, batch).await? {
                        Some(true) => self.write_leniently(conn, table, batch, &division).await?,
                        None if has_expressions(&table.table) => return Err(unverified_refusal(error)),
                        _ => return Err(error),
                    }
                }
                other => other?,
            }
        } else {
            // Not with the journal: MySQL refuses a transaction of both where it writes GTIDs. And in one try: half of a
            // batch that was refused would stay.
            let mode =
                match has_expressions(&table.table) && self.accepts_rows(&table.table, batch).await? == Some(true) {
                    true => WriteMode::Lenient,
                    false => WriteMode::Strict,
                };
            self.load_parts(conn, table, &division, mode).await?;
        }
        self.record_expected(table.number, batch, &division);
        Ok(())
    }

    async fn write_leniently(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        division: &BatchDivision,
    ) -> Result<()> {
        match self.write_once(conn, table, batch, division, WriteMode::Lenient).await {
            Err(error) if is_rule_violation(&error) => {
                conn.exec("ROLLBACK").await?;
                self.write_once(conn, table, batch, division, WriteMode::SettingsSearch).await
            }
            other => other,
        }
    }

    async fn write_once(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        division: &BatchDivision,
        mode: WriteMode,
    ) -> Result<()> {
        conn.exec("START TRANSACTION").await?;
        if !journal::record_batch(conn, &self.address.database, batch.id).await? {
            return conn.exec("ROLLBACK").await.map(drop);
        }
        self.load_parts(conn, table, division, mode).await?;
        conn.exec("COMMIT").await.map(drop)
    }

    async fn load_parts(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        division: &BatchDivision,
        mode: WriteMode,
    ) -> Result<()> {
        for part in &division.parts {
            if mode == WriteMode::SettingsSearch {
                self.load_with_search(conn, table, part).await?;
                continue;
            }
            let options = LoadOptions { lenient: mode == WriteMode::Lenient, settings: part.settings.clone() };
            self.load_rows(conn, table, &part.batch, &options).await?;
        }
        Ok(())
    }

    /// Puts rows under the settings that the table takes them under; where none fit all of them, half by half.
    async fn load_with_search(&self, conn: &mut Conn, table: &TablePlan, part: &BatchPart) -> Result<()> {
        let candidates = self.rule_settings(&table.table, &conn.server, &part.settings);
        let mut last = part.settings.clone();
        let mut left = vec![part.batch.clone()];
        while let Some(batch) = left.pop() {
            let mut refusal = None;
            for settings in std::iter::once(last.clone()).chain(candidates.iter().cloned()) {
                conn.exec("SAVEPOINT dbgraft_part").await?;
                let options = LoadOptions { lenient: true, settings };
                match self.load_rows(conn, table, &batch, &options).await {
                    Err(error) if is_rule_violation(&error) => {
                        conn.exec("ROLLBACK TO SAVEPOINT dbgraft_part").await?;
                        options.reset_session(conn, true).await?;
                        refusal = refusal.or(Some(error));
                    }
                    Err(error) => return Err(error),
                    Ok(()) => {
                        (last, refusal) = (options.settings, None);
                        break;
                    }
                }
            }
            match refusal {
                Some(error) if batch.rows < 2 => return Err(error),
                Some(_) => left.extend(split_batch(&batch).into_iter().rev()),
                None => {}
            }
        }
        Ok(())
    }

    async fn load_rows(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch, options: &LoadOptions) -> Result<()> {
        let database = &self.address.database;
        let (can_load_data, max_allowed_packet) = {
            let state = self.state();
            (state.can_load_data, state.max_allowed_packet)
        };
        let current =
            system_versioning::keep_current_rows(&table.table, batch).filter(|_| conn.server.flavor == Flavor::MySql);
        let (table, batch) = current.as_ref().map_or((&table.table, batch), |(table, batch)| (table, batch));
        let encoded =
            negative_zero::encode_negative_zeros(table, batch).filter(|_| conn.server.flavor == Flavor::MariaDb);
        let batch = match &encoded {
            Some((encoded, lost)) => {
                self.state().count_lost_signs(&table.name, lost);
                encoded
            }
            None => batch,
        };
        match can_load_data && column::supports_load_data(table) {
            true => load::load_data(conn, database, table, batch, options).await,
            false => load::insert_rows(conn, database, table, batch, max_allowed_packet, options).await,
        }
    }
}

/// Whether the server, or our own look at its warnings, refuses rows for what they are.
fn is_row_refusal(error: &Error) -> bool {
    !error.is_retryable() && (error.code().is_some() || error.kind() == ErrorKind::Data)
}

/// The refusal of rows of which nobody could find out whether they are to blame.
fn unverified_refusal(error: Error) -> Error {
    let remedy = "GRANT CREATE TEMPORARY TABLES on the target's database, by which a clone finds that out";
    error.with("perhaps only what the table computes from its rows is to blame:", remedy)
}

fn is_rule_violation(error: &Error) -> bool {
    error.code().is_some_and(|code| RULE_VIOLATIONS.contains(&code))
}

fn split_batch(batch: &Batch) -> [Batch; 2] {
    let all: Vec<&[u8]> = row_texts(&batch.data).collect();
    let (first, second) = all.split_at(all.len() / 2);
    [first, second].map(|half| Batch::from_lines(batch.id, half.iter().copied()))
}

/// Whether a batch goes into the table whole or not at all.
pub(super) fn is_transactional(table: &Table) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// Whether the server computes something from the rows of the table.
fn has_expressions(table: &Table) -> bool {
    tokens(&table.create, Dialect::default()).iter().any(|token| token.is_any_word(&["AS", "CHECK"]))
}
