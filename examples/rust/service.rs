//! A service with a `mysql_async` pool clones its database by the same options, while it continues to serve:
//!
//! cargo run --example service -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop_copy
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::{CloneJob, CloneOptions, Event, Verify};
use mysql_async::prelude::Queryable;
use mysql_async::{Opts, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: SOURCE TARGET, two URLs mysql://user@host/database".into());
    };

    // The pool of the service.
    let options = Opts::from_url(&source)?;
    let pool = Pool::new(options.clone());
    let mut connection = pool.get_conn().await?;
    let tables: Vec<String> = connection.query("SHOW TABLES").await?;
    println!("the pool sees {} tables", tables.len());

    // The clone opens separate connections; those of the pool stay free for requests.
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
