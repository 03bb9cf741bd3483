//! A service that holds a `mysql_async` pool clones its own database by the same options, while it goes on serving:
//!
//! cargo run --example service -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop_copy
#![allow(clippy::print_stdout, reason = "an example has something to say")]

use dbgraft::{CloneJob, CloneOptions, Event, Verify};
use mysql_async::prelude::Queryable;
use mysql_async::{Opts, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("two URLs, please: mysql://user@host/database from, mysql://user@host/database to".into());
    };

    // What the service has anyway.
    let options = Opts::from_url(&source)?;
    let pool = Pool::new(options.clone());
    let mut connection = pool.get_conn().await?;
    let tables: Vec<String> = connection.query("SHOW TABLES").await?;
    println!("the pool sees {} tables", tables.len());

    // The clone has connections of its own. The pool's stay free for requests.
    let job = CloneJob::new(options, Opts::from_url(&target)?)
        .options(CloneOptions { verify: Verify::Counts, ..CloneOptions::default() })
        .on_event(|event| {
            if let Event::Warning { message } = event {
                println!("warning: {message}");
            }
        });
    let report = job.run().await?;
    println!("{} rows in {:.1} s", report.rows, report.seconds);

    drop(connection);
    pool.disconnect().await?;
    Ok(())
}
