//! Lanes that carry changes and transactions, between the code of the agent and a test that takes the coordinator's part.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::coordinator::CoordinatorClient;
use super::lane_server::serve_lane;
use super::service::AgentService;
use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, Flavor, Server};
use crate::change::{ChangeKind, LogEvent, LogPosition, RowChanges, RowImages};
use crate::change_applier::{ChangeApplier, TargetTransaction};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::conflict_hasher::ConflictHasher;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::options::Verify;
use crate::plan::{Chunk, Plan, Position, ResumeState, Selection, SnapshotMethod, TablePlan};
use crate::remote::ChangeFrame;
use crate::remote::frame::{FrameReader, FrameWriter};
use crate::remote::message::{AgentCall, ApplierCall, ApplierSession, LaneRequest, LaneResponse, TransactionPart};
use crate::report::Note;
use crate::sink::Sink;
use crate::source::{BatchStream, ChangeStream, Source};

/// What the fake target was told, in order.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

fn say(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

/// A line of the log by which another process asks for the clone.
pub(super) const TAKEOVER: &str = "takeover";

pub(super) struct FakeSink(pub(super) Log);

#[async_trait]
impl Sink for FakeSink {
    async fn begin(&self, _: &Plan) -> Result<ResumeState> {
        unreachable!()
    }

    async fn write(&self, _: &TablePlan, _: Batch) -> Result<Receipt> {
        unreachable!()
    }

    async fn finish(&self, _: &Plan) -> Result<Vec<Note>> {
        unreachable!()
    }

    async fn abort(&self) -> Result<()> {
        Ok(())
    }

    async fn is_takeover_requested(&self) -> Result<bool> {
        Ok(self.0.lock().unwrap().iter().any(|line| line == TAKEOVER))
    }

    async fn request_cut_over(&self, job: &str, _: Option<Verify>) -> Result<bool> {
        say(&self.0, job);
        Ok(true)
    }

    async fn change_applier(&self, _: &Plan) -> Result<Arc<dyn ChangeApplier>> {
        say(&self.0, "open");
        Ok(Arc::new(FakeApplier(self.0.clone())))
    }
}

struct FakeApplier(Log);

#[async_trait]
impl ChangeApplier for FakeApplier {
    async fn take_up(&self) -> Result<(Checkpoint, Option<Plan>)> {
        Ok((Checkpoint::default(), Some(plan())))
    }

    fn conflict_hashers(&self) -> Arc<[ConflictHasher]> {
        Arc::new([ConflictHasher { keys: Vec::new(), table: Some(u64::MAX), ..ConflictHasher::default() }])
    }

    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>> {
        say(&self.0, format!("begin {applier} {is_careful}"));
        Ok(Box::new(FakeTransaction { log: self.0.clone(), has_ended: false }))
    }

    async fn read_cut_over(&self) -> Result<Option<CutOver>> {
        Ok(None)
    }

    async fn begin_cut_over(&self, _: &CutOver) -> Result<bool> {
        Ok(false)
    }

    async fn finish(&self) -> Result<Vec<Note>> {
        Ok(Vec::new())
    }

    async fn end_cut_over(&self, _: &CutOver) -> Result<()> {
        Ok(())
    }

    async fn close(&self) {
        say(&self.0, "close");
    }
}

struct FakeTransaction {
    log: Log,
    has_ended: bool,
}

#[async_trait]
impl TargetTransaction for FakeTransaction {
    async fn apply(&mut self, changes: &RowChanges) -> Result<()> {
        let text = String::from_utf8(changes.after.as_ref().unwrap().text.to_vec()).unwrap();
        if text == "refused\n" {
            return Err(Error::new(ErrorKind::Data, "refused").with("table", "t"));
        }
        say(&self.log, text.trim_end());
        Ok(())
    }

    async fn commit(mut self: Box<Self>, checkpoint: &Checkpoint) -> Result<()> {
        self.has_ended = true;
        say(&self.log, format!("commit {}", checkpoint.transactions));
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) {
        self.has_ended = true;
        say(&self.log, "rollback");
    }
}

impl Drop for FakeTransaction {
    fn drop(&mut self) {
        if !self.has_ended {
            say(&self.log, "dropped");
        }
    }
}

/// A source that counts, and notices when its stream is dropped.
#[derive(Default)]
pub(super) struct FakeSource(Arc<AtomicBool>);

struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn catalog(&self) -> Result<Catalog> {
        unreachable!()
    }

    async fn plan(&self, _: &Selection) -> Result<Plan> {
        unreachable!()
    }

    async fn read<'a>(&'a self, _: &'a TablePlan, _: &'a Chunk, _: &'a MemoryBudget) -> Result<BatchStream<'a>> {
        unreachable!()
    }

    async fn changes<'a>(
        &'a self,
        _: &'a Plan,
        from: &'a LogPosition,
        _: &'a MemoryBudget,
    ) -> Result<ChangeStream<'a>> {
        let flag = DropFlag(self.0.clone());
        let events = stream::unfold((from.offset, flag), |(offset, flag)| async move {
            if offset == 1000 {
                // The log has no more.
                std::future::pending::<()>().await;
            }
            let end = LogPosition { offset: offset + 1, ..LogPosition::default() };
            Some((Ok(LogEvent::Idle { end, logged_at_ms: None }), (offset + 1, flag)))
        });
        Ok(events.boxed())
    }
}

fn plan() -> Plan {
    let catalog = Catalog::from_tables(Vec::new());
    let plan = Plan::from_selection(&catalog, &Selection::default(), Position::unknown(SnapshotMethod::External));
    Plan { server: Server::new(Flavor::MySql, "9.7.0"), ..plan }
}

/// A lane of an agent, with the coordinator's end.
struct Lane {
    reader: FrameReader,
    writer: FrameWriter,
    serving: JoinHandle<Result<()>>,
}

impl Lane {
    fn open(service: &Arc<AgentService>) -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        let service = service.clone();
        let serving = tokio::spawn(async move { serve_lane(far, &service).await.map(drop) });
        let (input, output) = near.into_split();
        Self { reader: FrameReader::new(input), writer: FrameWriter::new(output), serving }
    }

    async fn apply(&mut self, session: u64, texts: &[&'static str], commit: Option<u64>) -> Result<()> {
        let checkpoint = commit.map(|transactions| Checkpoint { transactions, ..Checkpoint::default() });
        let events = texts.iter().map(|text| {
            let after = RowImages { columns: vec![0], text: Bytes::from_static(text.as_bytes()) };
            let (kind, rows) = (ChangeKind::Insert, 1);
            LogEvent::Rows(RowChanges { table: 0, kind, rows, before: None, after: Some(after), with_cascades: false })
        });
        let (changes, body) = ChangeFrame::compress(events.collect(), checkpoint).await.unwrap();
        let part = TransactionPart { session, applier: 4, is_careful: false, changes };
        self.exchange(&LaneRequest::Apply(part), &body).await
    }

    /// Sends a request and receives its only response.
    async fn exchange(&mut self, request: &LaneRequest, body: &[u8]) -> Result<()> {
        self.writer.send(request, body).await.unwrap();
        match self.reader.read_frame::<LaneResponse>().await.unwrap().unwrap() {
            (LaneResponse::Applied, _) => Ok(()),
            (LaneResponse::Failed, error) => Err(serde_json::from_slice(&error).unwrap()),
            _ => panic!("another response"),
        }
    }
}

fn service() -> (Arc<AgentService>, Log, Arc<AtomicBool>) {
    let service = AgentService::new(Arc::new(CoordinatorClient::new(Arc::default())));
    let (log, dropped) = (Log::default(), Arc::<AtomicBool>::default());
    service.set_ends(Arc::new(FakeSource(dropped.clone())), Arc::new(FakeSink(log.clone())));
    (Arc::new(service), log, dropped)
}

async fn take_up(service: &AgentService) -> u64 {
    service.execute(1, AgentCall::Apply(ApplierCall::Open(Box::new(plan())))).await.unwrap();
    let begun = service.execute(2, AgentCall::Apply(ApplierCall::TakeUp)).await.unwrap();
    let begun: ApplierSession = serde_json::from_value(begun).unwrap();
    assert_eq!(begun.hashers.first().and_then(|hasher| hasher.table), Some(u64::MAX));
    assert_eq!(begun.plan, Some(plan()));
    begun.session
}

pub(super) fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[tokio::test]
async fn a_transaction_is_one_request_or_several_parts() {
    let (service, log, _) = service();
    let session = take_up(&service).await;
    let mut lane = Lane::open(&service);
    lane.apply(session, &["a\n", "b\n"], Some(1)).await.unwrap();
    assert_eq!(taken(&log), ["open", "begin 4 false", "a", "b", "commit 1"]);
    lane.apply(session, &["c\n"], None).await.unwrap();
    lane.apply(session, &["d\n"], None).await.unwrap();
    lane.apply(session, &[], Some(2)).await.unwrap();
    assert_eq!(taken(&log), ["begin 4 false", "c", "d", "commit 2"]);
    lane.apply(session, &["e\n"], None).await.unwrap();
    lane.exchange(&LaneRequest::Rollback, &[]).await.unwrap();
    assert_eq!(taken(&log), ["begin 4 false", "e", "rollback"]);
    // An error undoes the transaction, and the lane goes on.
    lane.apply(session, &["f\n"], None).await.unwrap();
    let error = lane.apply(session, &["refused\n", "g\n"], Some(3)).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Data, "refused (table t)"));
    assert_eq!(taken(&log), ["begin 4 false", "f", "rollback"]);
    lane.apply(session, &["h\n"], Some(3)).await.unwrap();
    assert_eq!(taken(&log), ["begin 4 false", "h", "commit 3"]);
}

#[tokio::test]
async fn a_transaction_ends_with_its_lane() {
    let (service, log, _) = service();
    let session = take_up(&service).await;
    let mut lane = Lane::open(&service);
    lane.apply(session, &["a\n"], None).await.unwrap();
    drop((lane.reader, lane.writer));
    lane.serving.await.unwrap().unwrap();
    assert_eq!(taken(&log), ["open", "begin 4 false", "a", "dropped"]);
    service.suspend().await.unwrap();
    assert_eq!(taken(&log), ["close"]);
}

#[tokio::test]
async fn what_an_earlier_session_has_sent_is_not_applied() {
    let (service, log, _) = service();
    let mut early = Lane::open(&service);
    let error = early.apply(1, &["a\n"], Some(1)).await.unwrap_err();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
    let first = take_up(&service).await;
    let second = take_up(&service).await;
    let error = early.apply(first, &["a\n"], Some(1)).await.unwrap_err();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
    early.apply(second, &["a\n"], Some(1)).await.unwrap();
    assert_eq!(taken(&log), ["open", "begin 4 false", "a", "commit 1"]);
}

#[tokio::test]
async fn events_that_arrive_while_a_frame_is_on_its_way_are_the_next_frame() {
    let (service, _, dropped) = service();
    let mut lane = Lane::open(&service);
    let request =
        LaneRequest::ReadChanges { plan: Box::new(plan()), from: LogPosition::default(), frame_bytes: usize::MAX };
    lane.writer.send(&request, &[]).await.unwrap();
    let memory = MemoryBudget::new(1 << 20, 1);
    let (mut passed, mut frames) = (0, 0);
    while passed < 1000 {
        let (LaneResponse::OfferChanges(frame), _) = lane.reader.read_frame().await.unwrap().unwrap() else {
            panic!("no offer")
        };
        lane.writer.send(&LaneRequest::Accept, &[]).await.unwrap();
        let (LaneResponse::Body, body) = lane.reader.read_frame().await.unwrap().unwrap() else { panic!("no body") };
        let lease = frame.reserve(&memory).await;
        for event in frame.decompress(body, lease).await.unwrap().0 {
            let LogEvent::Idle { end, .. } = event else { panic!("another event") };
            passed += 1;
            assert_eq!(end.offset, passed);
        }
        frames += 1;
    }
    assert!(frames < 20, "{frames} frames");
    // No offer is under way, and the agent notices that nobody reads any more.
    assert!(!dropped.load(Ordering::Relaxed));
    drop((lane.reader, lane.writer));
    assert!(lane.serving.await.unwrap().is_err());
    assert!(dropped.load(Ordering::Relaxed));
}
