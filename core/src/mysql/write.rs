//! Writes a batch into its table.
//!
//! The first try is strict. If only computed values raise warnings, the next try is lenient. If the table's rules refuse
//! rows, the settings under which they accept the rows are searched for.

use super::connect::Conn;
use super::ddl::{Dialect, tokenize};
use super::generated::{BatchBySettings, SessionSettings, SettingsGroup};
use super::load::LoadOptions;
use super::target::TargetDatabase;
use super::{column, load, negative_zero, system_versioning};
use crate::batch::Batch;
use crate::catalog::{Flavor, Table};
use crate::codec::row_texts;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::TablePlan;

/// The errors of rows that a rule of the table refuses, although it may accept them under other settings: a check, a number
/// out of range, no partition.
const RULE_VIOLATIONS: [u16; 4] = [3819, 4025, 1690, 1526];

/// The most rows that are tried together under all settings. A refused row costs the others every try.
const MAX_SEARCHED_ROWS: u64 = 64;

/// The remedy if the server does not reopen a table.
const FLUSH_PRIVILEGE: &str = "GRANT RELOAD, or FLUSH_TABLES on MySQL, to the target's account";

/// How the server has to accept the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteMode<'a> {
    /// Every warning is an error.
    Strict,
    /// Warnings are accepted, because the rows are known to fit.
    Lenient,
    /// Warnings are accepted, under whichever of these settings the table accepts the rows.
    SettingsSearch(&'a [SessionSettings]),
}

impl TargetDatabase {
    /// Writes the batch exactly once.
    pub(super) async fn write_batch(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch) -> Result<()> {
        let grouped = self.group_by_settings(table, batch, &conn.server).await?;
        if is_transactional(&table.table) {
            match self.write_once(conn, table, batch, &grouped, WriteMode::Strict).await {
                Err(error) if is_row_refusal(&error) => {
                    conn.exec("ROLLBACK").await?;
                    match self.accepts_rows(&table.table, batch).await? {
                        Some(true) => self.write_leniently(conn, table, batch, &grouped).await?,
                        None if has_expressions(&table.table) => return Err(unverified_refusal(error)),
                        _ => return Err(error),
                    }
                }
                other => other?,
            }
        } else {
            // Without the journal, because MySQL with GTIDs refuses a transaction over both kinds of tables. In one try,
            // because a part of a refused batch would stay.
            let mode =
                match has_expressions(&table.table) && self.accepts_rows(&table.table, batch).await? == Some(true) {
                    true => WriteMode::Lenient,
                    false => WriteMode::Strict,
                };
            self.state().losing_zero_signs.remove(&batch.id);
            // Whether the rows follow is unknown after a kill: the table is then made anew.
            if !self.record_batch(conn, batch).await? {
                return match self.state().durable_batches.contains(batch.id) {
                    true => Ok(()),
                    false => Err(rows_unknown_error()),
                };
            }
            self.load_groups(conn, table, &grouped, mode).await?;
            self.state().count_lost_signs(batch.id);
        }
        self.record_expected(table.number, batch, &grouped);
        Ok(())
    }

    async fn write_leniently(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        grouped: &BatchBySettings,
    ) -> Result<()> {
        match self.write_once(conn, table, batch, grouped, WriteMode::Lenient).await {
            Err(error) if is_rule_violation(&error) => self.write_with_search(conn, table, batch, grouped, error).await,
            other => other,
        }
    }

    /// Writes a batch that the table's rules refuse under the settings of its groups.
    ///
    /// Settings that count when the server opens the table get a transaction each, because not every server can reopen a
    /// table during a transaction.
    async fn write_with_search(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        grouped: &BatchBySettings,
        refusal: Error,
    ) -> Result<()> {
        let mut left = self.rule_settings(&table.table, &conn.server, grouped);
        while let Some(first) = left.first() {
            let opening = first.fixed_at_table_open();
            let (candidates, others) = left.into_iter().partition(|settings| settings.fixed_at_table_open() == opening);
            left = others;
            conn.exec("ROLLBACK").await?;
            match self.write_once(conn, table, batch, grouped, WriteMode::SettingsSearch(&candidates)).await {
                Err(error) if is_rule_violation(&error) => {}
                other => return other,
            }
        }
        Err(match self.cannot_reopen(table) {
            true => refusal
                .with("it may pass under other settings, for which the table must be opened anew:", FLUSH_PRIVILEGE),
            false => refusal,
        })
    }

    async fn write_once(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        grouped: &BatchBySettings,
        mode: WriteMode<'_>,
    ) -> Result<()> {
        conn.exec("START TRANSACTION").await?;
        self.state().losing_zero_signs.remove(&batch.id);
        if !self.record_batch(conn, batch).await? {
            self.recall_lost_signs(conn, batch).await?;
            return conn.exec("ROLLBACK").await.map(drop);
        }
        self.load_groups(conn, table, grouped, mode).await?;
        let lost = self.state().losing_zero_signs.get(&batch.id).cloned();
        if let Some(lost) = lost {
            self.record_lost_signs(conn, batch, &lost).await?;
        }
        conn.exec("COMMIT").await?;
        self.state().count_lost_signs(batch.id);
        Ok(())
    }

    async fn load_groups(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        grouped: &BatchBySettings,
        mode: WriteMode<'_>,
    ) -> Result<()> {
        let mut opening = None;
        for group in &grouped.groups {
            let settings = match mode {
                WriteMode::SettingsSearch([first, ..]) => first,
                _ => &group.settings,
            };
            // MariaDB would wait for the end of this transaction before it reopens a table.
            if opening.is_none() || conn.server.flavor == Flavor::MySql {
                drop(opening.take());
                opening = Some(self.reopen_table(table, settings).await?);
            }
            if let WriteMode::SettingsSearch(candidates) = mode {
                self.load_with_search(conn, table, group, candidates).await?;
                continue;
            }
            let lenient = mode == WriteMode::Lenient;
            let options = LoadOptions { lenient, settings: group.settings.clone(), ..LoadOptions::default() };
            let loaded = self.load_rows(conn, table, &group.batch, &options).await;
            if loaded.as_ref().is_err_and(is_row_refusal) {
                self.suspect_other_sessions(table);
            }
            loaded?;
        }
        Ok(())
    }

    /// Loads rows under the settings under which the table accepts them. If no settings suit all rows, splits them in halves.
    async fn load_with_search(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        group: &SettingsGroup,
        candidates: &[SessionSettings],
    ) -> Result<()> {
        let mut candidates: Vec<SessionSettings> =
            candidates.iter().map(|settings| settings.completed_by(&group.settings)).collect();
        candidates.sort_by_key(|settings| !settings.is_consistent_with(&group.settings));
        let mut left = vec![group.batch.clone()];
        while let Some(batch) = left.pop() {
            let tried = if batch.rows > MAX_SEARCHED_ROWS { 1 } else { candidates.len() };
            let mut refusal = None;
            for index in 0..tried {
                conn.exec("SAVEPOINT dbgraft_part").await?;
                let Some(settings) = candidates.get(index).cloned() else { break };
                match self
                    .load_rows(conn, table, &batch, &LoadOptions { lenient: true, settings, ..LoadOptions::default() })
                    .await
                {
                    Err(error) if is_rule_violation(&error) => {
                        conn.exec("ROLLBACK TO SAVEPOINT dbgraft_part").await?;
                        refusal = refusal.or(Some(error));
                    }
                    Err(error) => return Err(error),
                    Ok(()) => {
                        refusal = None;
                        // The next rows probably need the same settings.
                        candidates.get_mut(..=index).into_iter().for_each(|tried| tried.rotate_right(1));
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
        self.record_rule_settings(table, candidates.first());
        Ok(())
    }

    /// Loads rows in the current transaction.
    pub(super) async fn load_rows(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        options: &LoadOptions,
    ) -> Result<()> {
        let database = &self.address.database;
        let (can_load_data, max_allowed_packet) = {
            let state = self.state();
            (state.can_load_data, state.max_allowed_packet)
        };
        let current =
            system_versioning::keep_current_rows(&table.table, batch).filter(|_| conn.server.flavor == Flavor::MySql);
        let (table, batch) = current.as_ref().map_or((&table.table, batch), |(table, batch)| (table, batch));
        let ended = system_versioning::with_end_of_time(table, batch, &conn.server);
        let batch = ended.as_ref().unwrap_or(batch);
        let encoded =
            negative_zero::encode_negative_zeros(table, batch).filter(|_| conn.server.flavor == Flavor::MariaDb);
        let (batch, lost) = encoded.as_ref().map_or((batch, None), |(encoded, lost)| (encoded, Some(lost)));
        let put = match can_load_data && !options.by_insert && column::supports_load_data(table) {
            true => load::load_data(conn, database, table, batch, options).await,
            false => load::insert_rows(conn, database, table, batch, max_allowed_packet, options).await,
        };
        if put.as_ref().is_err_and(is_row_refusal) {
            options.reset_session(conn, true).await?;
        }
        if let Some(lost) = lost.filter(|_| put.is_ok()) {
            self.state().note_lost_signs(batch.id, lost);
        }
        put
    }
}

/// The error of a batch whose line was written by an earlier try, which may have stored none, some or all of its rows.
fn rows_unknown_error() -> Error {
    let message = "the connection was lost while rows were loaded, so that how many of them are stored is unknown";
    Error::new(ErrorKind::Connection, message)
}

/// Whether the error means that the server, or the check of its warnings, refuses the rows.
fn is_row_refusal(error: &Error) -> bool {
    !error.is_retryable() && (error.code().is_some() || error.kind() == ErrorKind::Data)
}

/// The error of refused rows if it is unknown whether the rows themselves are the cause.
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

/// Whether the table's engine has transactions, so that a batch is stored completely or not at all.
pub(super) fn is_transactional(table: &Table) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// Whether the table has expressions that the server computes from its rows.
fn has_expressions(table: &Table) -> bool {
    tokenize(&table.create, Dialect::default()).iter().any(|token| token.is_any_word(&["AS", "CHECK", "PARTITION"]))
}
