//! Writes a batch into its table: strictly, or where only what the table computes raises warnings, leniently; and where
//! the table's rules refuse rows under our settings, under those that they take them under.

use super::connect::Conn;
use super::ddl::{Dialect, tokenize};
use super::generated::{Divided, Part};
use super::load::Loading;
use super::target::Target;
use super::{column, history, journal, load, zero};
use crate::batch::Batch;
use crate::catalog::{Flavor, Table};
use crate::codec::row_texts;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::TablePlan;

/// What a server says where a rule of the table refuses a row that the settings of another session let pass: a check, a
/// number out of range, no partition.
const BROKEN_RULES: [u16; 4] = [3819, 4025, 1690, 1526];

/// How the rows of a batch are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Every warning is an error.
    Strict,
    /// The rows are known to fit.
    Lenient,
    /// The same, under whichever settings the table takes them.
    Searching,
}

impl Target {
    /// Writes the batch, once.
    pub(super) async fn write_batch(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch) -> Result<()> {
        let divided = self.divide(table, batch, &conn.server).await?;
        if let Some(part) = divided.parts.first() {
            self.open_under(conn, table, &part.settings).await?;
        }
        if is_transactional(&table.table) {
            match self.write_once(conn, table, batch, &divided, Way::Strict).await {
                Err(error) if is_refused(&error) => {
                    conn.exec("ROLLBACK").await?;
                    match self.rows_fit(&table.table, batch).await? {
                        Some(true) => self.write_leniently(conn, table, batch, &divided).await?,
                        None if computes(&table.table) => return Err(untried(error)),
                        _ => return Err(error),
                    }
                }
                other => other?,
            }
        } else {
            // Not with the journal: MySQL refuses a transaction of both where it writes GTIDs. And in one try: half of a
            // batch that was refused would stay.
            let way = match computes(&table.table) && self.rows_fit(&table.table, batch).await? == Some(true) {
                true => Way::Lenient,
                false => Way::Strict,
            };
            self.put_each(conn, table, &divided, way).await?;
        }
        self.expect(table.number, batch, &divided);
        Ok(())
    }

    async fn write_leniently(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        divided: &Divided,
    ) -> Result<()> {
        match self.write_once(conn, table, batch, divided, Way::Lenient).await {
            Err(error) if breaks_rule(&error) => {
                conn.exec("ROLLBACK").await?;
                self.write_once(conn, table, batch, divided, Way::Searching).await
            }
            other => other,
        }
    }

    async fn write_once(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        batch: &Batch,
        divided: &Divided,
        way: Way,
    ) -> Result<()> {
        conn.exec("START TRANSACTION").await?;
        if !journal::note(conn, &self.address.database, batch.id).await? {
            return conn.exec("ROLLBACK").await.map(drop);
        }
        self.put_each(conn, table, divided, way).await?;
        conn.exec("COMMIT").await.map(drop)
    }

    async fn put_each(&self, conn: &mut Conn, table: &TablePlan, divided: &Divided, way: Way) -> Result<()> {
        for part in &divided.parts {
            if way == Way::Searching {
                self.put_searching(conn, table, part).await?;
                continue;
            }
            let loading = Loading { lenient: way == Way::Lenient, settings: part.settings.clone() };
            self.put(conn, table, &part.batch, &loading).await?;
        }
        Ok(())
    }

    /// Puts rows under the settings that the table takes them under; where none fit all of them, half by half.
    async fn put_searching(&self, conn: &mut Conn, table: &TablePlan, part: &Part) -> Result<()> {
        let candidates = self.settings_for_rules(&table.table, &conn.server, &part.settings);
        let mut last = part.settings.clone();
        let mut left = vec![part.batch.clone()];
        while let Some(batch) = left.pop() {
            let mut refusal = None;
            for settings in std::iter::once(last.clone()).chain(candidates.iter().cloned()) {
                conn.exec("SAVEPOINT dbgraft_part").await?;
                let loading = Loading { lenient: true, settings };
                match self.put(conn, table, &batch, &loading).await {
                    Err(error) if breaks_rule(&error) => {
                        conn.exec("ROLLBACK TO SAVEPOINT dbgraft_part").await?;
                        loading.leave(conn, true).await?;
                        refusal = refusal.or(Some(error));
                    }
                    Err(error) => return Err(error),
                    Ok(()) => {
                        (last, refusal) = (loading.settings, None);
                        break;
                    }
                }
            }
            match refusal {
                Some(error) if batch.rows < 2 => return Err(error),
                Some(_) => left.extend(halves(&batch).into_iter().rev()),
                None => {}
            }
        }
        Ok(())
    }

    async fn put(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch, loading: &Loading) -> Result<()> {
        let database = &self.address.database;
        let (files, packet) = {
            let state = self.state();
            (state.files, state.packet)
        };
        let current = history::current(&table.table, batch).filter(|_| conn.server.flavor == Flavor::MySql);
        let (table, batch) = current.as_ref().map_or((&table.table, batch), |(table, batch)| (table, batch));
        let signed = zero::signed(table, batch).filter(|_| conn.server.flavor == Flavor::MariaDb);
        let batch = match &signed {
            Some((signed, lost)) => {
                self.state().lost_signs(&table.name, lost);
                signed
            }
            None => batch,
        };
        match files && column::loads_by_file(table) {
            true => load::by_file(conn, database, table, batch, loading).await,
            false => load::by_insert(conn, database, table, batch, packet, loading).await,
        }
    }
}

/// Whether the server, or our own look at its warnings, refuses rows for what they are.
fn is_refused(error: &Error) -> bool {
    !error.is_retryable() && (error.code().is_some() || error.kind() == ErrorKind::Data)
}

/// The refusal of rows of which nobody could find out whether they are to blame.
fn untried(error: Error) -> Error {
    let remedy = "GRANT CREATE TEMPORARY TABLES on the target's database, by which a clone finds that out";
    error.with("perhaps only what the table computes from its rows is to blame:", remedy)
}

fn breaks_rule(error: &Error) -> bool {
    error.code().is_some_and(|code| BROKEN_RULES.contains(&code))
}

fn halves(batch: &Batch) -> [Batch; 2] {
    let all: Vec<&[u8]> = row_texts(&batch.data).collect();
    let (first, second) = all.split_at(all.len() / 2);
    [first, second].map(|half| Batch::from_lines(batch.id, half.iter().copied()))
}

/// Whether a batch goes into the table whole or not at all.
pub(super) fn is_transactional(table: &Table) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// Whether the server computes something from the rows of the table.
fn computes(table: &Table) -> bool {
    tokenize(&table.create, Dialect::default()).iter().any(|token| token.is_any_word(&["AS", "CHECK"]))
}
