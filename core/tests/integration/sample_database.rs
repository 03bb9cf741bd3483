//! The sample database arrives as it was, directly and through an archive. In `make test` it is a small one.

use crate::common::{Bench, is_sampled, on_sampled_flavors};
use dbgraft::{CloneJob, CloneOptions};
use dbgraft_testkit::{SampleSize, s3, sample};

#[test]
fn a_shop_arrives_directly() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::names(flavor);
        let (size, rows) = if is_sampled() { (SampleSize::Small, 10_000) } else { (SampleSize::Full, 100_000) };
        sample(&bench.pair.source, &bench.from, size).unwrap();
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        assert!(report.rows > rows, "{report:?}");
        bench.assert_equal();
    });
}

#[test]
fn a_shop_arrives_through_an_archive_which_is_removed() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let prefix = format!("via-{}", bench.from);
        let options = CloneOptions { via: Some(bench.s3(&prefix)), ..CloneOptions::default() };
        bench.clone(options).await.unwrap();
        bench.assert_equal();
        assert_eq!(s3().keys(&prefix).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn an_export_and_an_import_are_a_clone() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let archive = bench.s3(&format!("rest-{}", bench.from));
        CloneJob::new(bench.source_url(), archive.as_str()).run().await.unwrap();
        CloneJob::new(archive, bench.target_url()).run().await.unwrap();
        bench.assert_equal();
    });
}
