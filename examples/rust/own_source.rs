//! Loads rows of a custom source, here generated in memory, into MySQL:
//!
//! cargo run --example own_source -- mysql://root@127.0.0.1:3306/numbers
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;

use dbgraft::codec::BatchBuilder;
use dbgraft::{BatchId, BatchStream, Catalog, Chunk, CloneJob, Column, Database, Flavor, MemoryBudget, Plan, Position};
use dbgraft::{Result, Selection, Server, SnapshotMethod, Source, SourceEndpoint, Table, TablePlan};
use futures::{StreamExt, stream};

/// The squares of the numbers below a hundred thousand.
struct Squares;

const BATCHES: u32 = 10;
const ROWS: u64 = 10_000;

#[async_trait::async_trait]
impl Source for Squares {
    async fn catalog(&self) -> Result<Catalog> {
        let table = Table {
            name: "squares".into(),
            engine: "InnoDB".into(),
            columns: vec![column("n"), column("square")],
            history: false,
            late_timestamps: Vec::new(),
            primary_key: vec!["n".into()],
            rows_estimate: u64::from(BATCHES) * ROWS,
            data_bytes: u64::from(BATCHES) * ROWS * 20,
            index_bytes: 0,
            create: "CREATE TABLE `squares` (`n` bigint NOT NULL, `square` bigint NOT NULL, PRIMARY KEY (`n`))".into(),
        };
        // The dialect of the definitions.
        let server = Server::new(Flavor::MySql, "8.0.0");
        let (charset, collation) = ("utf8mb4".into(), "utf8mb4_general_ci".into());
        let database = Database { name: "numbers".into(), charset, collation, comment: String::new() };
        Ok(Catalog { server, database, tables: vec![table], definitions: Vec::new() })
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        Ok(Plan::from_selection(&self.catalog().await?, selection, Position::unknown(SnapshotMethod::External)))
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        let batches = stream::iter(0..BATCHES).then(move |batch| async move {
            // Waits until the target has stored earlier batches, so memory use does not depend on the number of rows.
            let mut lease = memory.reserve(memory.batch_bytes()).await;
            let mut rows = BatchBuilder::default();
            for n in u64::from(batch) * ROWS..u64::from(batch + 1) * ROWS {
                rows.push_value(n.to_string().as_bytes());
                rows.push_value((n * n).to_string().as_bytes());
                rows.end_row();
            }
            lease.shrink(rows.len());
            Ok(rows.finish(BatchId { table: table.number, chunk: chunk.number, batch }).with_lease(lease))
        });
        Ok(batches.boxed())
    }
}

fn column(name: &str) -> Column {
    let (data_type, column_type) = ("bigint".into(), "bigint".into());
    Column {
        name: name.into(),
        data_type,
        column_type,
        charset: None,
        collation: None,
        nullable: false,
        generated: false,
        stored: false,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).ok_or("usage: TARGET, a URL mysql://user@host/database")?;
    let report = CloneJob::new(SourceEndpoint::Own(Arc::new(Squares)), target).run().await?;
    println!("{} rows in {:.1} s", report.rows, report.seconds);
    Ok(())
}
