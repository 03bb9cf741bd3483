//! A server of the MySQL family as a sink.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::apply::{self, Rewriting};
use super::connect::{Address, Conn};
use super::ddl::{self, KeyKind, TableDdl, quote_name};
use super::prepare::There;
use super::running::Running;
use super::{journal, load, session};
use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef, Printable, Table};
use crate::error::Result;
use crate::options::{self, CloneOptions};
use crate::plan::{Plan, Progress, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::sink::Sink;

/// Writes into one database of a server.
pub(crate) struct MySqlSink {
    pub(super) address: Address,
    pub(super) options: CloneOptions,
    pub(super) running: Running,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Sessions that load, and do nothing right now.
    loaders: Vec<Conn>,
    /// Sessions that change definitions, and do nothing right now.
    pub(super) definers: Vec<Conn>,
    /// How each table's definition was taken apart, by its name.
    pub(super) tables: BTreeMap<String, TableDdl>,
    /// What this sink has made, in order; removed again when it is aborted.
    pub(super) made: Vec<Made>,
    /// `max_allowed_packet` where `LOAD DATA LOCAL` is switched off.
    insert: Option<usize>,
    pub(super) notes: Vec<Note>,
}

#[derive(Clone, PartialEq)]
pub(super) enum Made {
    Database,
    Object(ObjectRef),
    /// The rows of a table that was there.
    Rows(String),
    Journal,
}

impl MySqlSink {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: Address, options: &CloneOptions) -> Self {
        Self { running: Running::new(address.clone()), address, options: options.clone(), state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session for definitions, in the target database. It goes back to `definers` after its work.
    pub(super) async fn definer(&self) -> Result<Conn> {
        loop {
            let Some(mut conn) = self.state().definers.pop() else { break };
            // It may have been idle for long, and broken meanwhile.
            if conn.exec("DO 1").await.is_ok() {
                return Ok(conn);
            }
        }
        let mut conn = self.running.watch(session::definer(&self.address, self.options.skip_binlog).await?);
        conn.exec(&format!("USE {}", quote_name(&self.address.database))).await?;
        Ok(conn)
    }

    /// A session that loads. It goes back to `loaders` after its work.
    async fn loader(&self) -> Result<Conn> {
        let idle = self.state().loaders.pop();
        match idle {
            Some(conn) => Ok(conn),
            None => Ok(self.running.watch(session::writer(&self.address, self.options.skip_binlog).await?)),
        }
    }

    pub(super) fn made(&self, made: Made) {
        self.state().made.push(made);
    }

    pub(super) fn rewriting(&self, plan: &Plan) -> Rewriting {
        let definer = match &self.options.definer {
            options::Definer::Strip => ddl::Definer::Strip,
            options::Definer::Keep => ddl::Definer::Keep,
            options::Definer::Account { user, host } => {
                ddl::Definer::Account { user: user.clone(), host: host.clone() }
            }
        };
        let (from, to) = (&plan.database.name, &self.address.database);
        Rewriting { definer, rename: (from != to).then(|| (from.clone(), to.clone())) }
    }

    /// Finds out whether rows can go in by `LOAD DATA LOCAL`.
    async fn choose_way(&self, conn: &mut Conn) -> Result<()> {
        let Some(row) = conn.row("SELECT @@GLOBAL.local_infile, @@SESSION.max_allowed_packet").await? else {
            return Ok(());
        };
        if row.number(0) == 0 {
            // The preflight has said so.
            self.state().insert = Some(usize::try_from(row.number(1)).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    async fn write_in(&self, conn: &mut Conn, table: &TablePlan, batch: &Batch) -> Result<()> {
        let database = &self.address.database;
        conn.exec("START TRANSACTION").await?;
        if !journal::note(conn, database, batch.id).await? {
            return conn.exec("ROLLBACK").await.map(drop);
        }
        let insert = self.state().insert;
        match insert {
            None => load::by_file(conn, database, &table.table, batch).await?,
            Some(packet) => load::by_insert(conn, database, &table.table, batch, packet).await?,
        }
        conn.exec("COMMIT").await.map(drop)
    }

    /// Adds the keys that were kept back, as few passes over the rows as the server allows.
    async fn add_keys(&self, conn: &mut Conn, name: &str, ddl: &TableDdl) -> Result<()> {
        let (together, alone): (Vec<_>, Vec<_>) =
            ddl.deferred_keys.iter().partition(|key| matches!(key.kind, KeyKind::Plain | KeyKind::Unique));
        if !together.is_empty() {
            conn.exec(&ddl::add_keys(name, &together)).await?;
        }
        for key in alone {
            conn.exec(&ddl::add_keys(name, &[key])).await?;
        }
        Ok(())
    }

    /// Adds the foreign keys of all tables; one to a table that is not there would refuse every row from now on, and is
    /// left out.
    async fn add_foreign_keys(&self, conn: &mut Conn) -> Result<Vec<Note>> {
        let there = There::look(conn, &self.address.database).await?;
        let tables = std::mem::take(&mut self.state().tables);
        let mut notes = Vec::new();
        for (name, ddl) in tables {
            let object = ObjectRef::new(ObjectKind::Table, &name);
            let is_there =
                |key: &ddl::ForeignKey| key.referenced_database.is_some() || there.has_table(&key.referenced_table);
            let (keys, orphans): (Vec<_>, Vec<_>) = ddl.foreign_keys.into_iter().partition(is_there);
            notes.extend(orphans.iter().map(|key| {
                let (key, parent) = (key.name.as_deref().unwrap_or("without a name"), &key.referenced_table);
                let message =
                    format!("foreign key {} left out: table {} is not there", Printable(key), Printable(parent));
                Note::on(&object, message)
            }));
            if !keys.is_empty() {
                let added = conn.exec(&ddl::add_foreign_keys(&name, &keys)).await;
                added.map_err(|error| error.with("foreign keys of table", Printable(&name)))?;
            }
        }
        Ok(notes)
    }

    async fn undo(&self, conn: &mut Conn, made: &Made) -> Result<()> {
        let name = quote_name(&self.address.database);
        let sql = match made {
            Made::Database => format!("DROP DATABASE IF EXISTS {name}"),
            Made::Journal => return journal::remove(conn, &self.address.database).await,
            Made::Rows(table) => format!("TRUNCATE TABLE {name}.{}", quote_name(table)),
            Made::Object(object) => {
                conn.exec(&format!("USE {name}")).await?;
                apply::drop_statement(object)
            }
        };
        conn.exec(&sql).await.map(drop)
    }
}

#[async_trait]
impl Sink for MySqlSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        let mut conn = session::control(&self.address).await?;
        super::check::target(&mut conn, &self.address, catalog, selection, &self.options).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        let mut conn = session::control(&self.address).await?;
        super::check::existing(&mut conn, &self.address.database).await
    }

    async fn begin(&self, plan: &Plan) -> Result<Progress> {
        self.make_database(&plan.database).await?;
        let mut conn = self.definer().await?;
        self.choose_way(&mut conn).await?;
        if plan.tables.iter().any(|table| !table.chunks.is_empty()) {
            self.made(Made::Journal);
            journal::create(&mut conn, &self.address.database).await?;
        }
        self.make_tables(&mut conn, plan).await?;
        self.state().definers.push(conn);
        Ok(Progress::default())
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let mut conn = self.loader().await?;
        if let Err(error) = self.write_in(&mut conn, table, &batch).await {
            // Where even that fails, the next try says so.
            let _ = self.running.kill(conn.id).await;
            // Without transactions half a batch may be in, and the next try would double it.
            return Err(match is_transactional(&table.table) {
                true => error,
                false => error.final_word().with("not tried again:", "the table's engine has no transactions"),
            });
        }
        self.state().loaders.push(conn);
        Ok(Receipt::of(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        let name = &table.table.name;
        let Some(ddl) = self.state().tables.get(name).cloned() else { return Ok(()) };
        if ddl.deferred_keys.is_empty() {
            return Ok(());
        }
        let mut conn = self.definer().await?;
        self.add_keys(&mut conn, name, &ddl).await?;
        self.state().definers.push(conn);
        Ok(())
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let mut conn = self.definer().await?;
        let mut notes = std::mem::take(&mut self.state().notes);
        notes.extend(self.add_foreign_keys(&mut conn).await?);
        let later: Vec<Definition> =
            plan.definitions.iter().filter(|d| d.object.kind != ObjectKind::Sequence).cloned().collect();
        let creating = |object: &ObjectRef| self.made(Made::Object(object.clone()));
        notes.extend(apply::objects(&mut conn, &later, &self.rewriting(plan), creating).await?);
        journal::remove(&mut conn, &self.address.database).await?;
        self.state().made.clear();
        Ok(notes)
    }

    async fn abort(&self) -> Result<()> {
        self.running.kill_all().await?;
        let made = std::mem::take(&mut self.state().made);
        if made.is_empty() {
            return Ok(());
        }
        let mut conn = session::definer(&self.address, self.options.skip_binlog).await?;
        if made.contains(&Made::Database) {
            return self.undo(&mut conn, &Made::Database).await;
        }
        for made in made.iter().rev() {
            self.undo(&mut conn, made).await?;
        }
        Ok(())
    }
}

/// Whether a batch goes into the table whole or not at all.
fn is_transactional(table: &Table) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}
