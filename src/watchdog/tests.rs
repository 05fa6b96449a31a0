//! Every detector at the defaults it ships with.

use super::*;
use crate::base::{FakeClock, JobKind, Progress};
use crate::store::{Activity, MailKind, NewJob};

struct World {
    store: Store,
    clock: FakeClock,
    watchdog: Watchdog,
    _data: tempfile::TempDir,
}

async fn world() -> World {
    let store = Store::in_memory().await.unwrap();
    let clock = FakeClock::at(Timestamp::from_second(1_800_000_000).unwrap());
    let data = tempfile::tempdir().unwrap();
    // The disk of the machine that runs the tests is not what is tested.
    let config = Config { disk_free_mib: 0, ..Config::default() };
    let watchdog = Watchdog::new(config, store.clone(), Arc::new(clock.clone()), data.path().to_owned()).unwrap();
    World { store, clock, watchdog, _data: data }
}

impl World {
    /// Ticks at the shipped schedule until `seconds` have passed or there is an incident; the seconds that took.
    async fn until_noticed(&self, seconds: u64) -> Option<u64> {
        for passed in (30..=seconds).step_by(30) {
            self.clock.advance(Duration::from_secs(30));
            self.watchdog.tick(self.clock.now()).await.unwrap();
            if !self.store.incidents(10).await.unwrap().is_empty() {
                return Some(passed);
            }
        }
        None
    }

    async fn open_orders(&self) -> Vec<(String, String)> {
        self.store.open_orders().await.unwrap().into_iter().map(|order| (order.kind, order.subject)).collect()
    }

    async fn lines(&self) -> Vec<String> {
        let messages = self.store.latest_messages(Some("mission-control"), 50).await.unwrap();
        messages.into_iter().map(|message| message.text).collect()
    }
}

#[tokio::test]
async fn a_thinking_agents_silence_is_noticed_within_three_minutes_and_cured_by_rungs() {
    let w = world().await;
    w.store.agent_progress("training", Activity::Thinking, "on job-event 3", None, w.clock.now()).await.unwrap();
    let noticed = w.until_noticed(300).await.unwrap();
    assert!(noticed <= 180, "noticed after {noticed} s");
    assert_eq!(w.open_orders().await, [("wake".to_owned(), "training".to_owned())]);
    assert_eq!(w.watchdog.tick(w.clock.now()).await.unwrap().len(), 4);
    assert_eq!(w.open_orders().await.len(), 1, "a second look orders nothing twice");

    w.clock.advance(Duration::from_secs(30));
    w.watchdog.tick(w.clock.now()).await.unwrap();
    assert_eq!(w.open_orders().await[1], ("restart_agent".to_owned(), "training".to_owned()));

    w.store.agent_progress("training", Activity::Idle, "", None, w.clock.now()).await.unwrap();
    w.clock.advance(Duration::from_secs(30));
    w.watchdog.tick(w.clock.now()).await.unwrap();
    let incident = w.store.incidents(1).await.unwrap().remove(0);
    assert_eq!(incident.cure.as_deref(), Some("restarted"));
    assert_eq!(
        w.lines().await,
        [
            "Watchdog: training has shown no progress for 150 s, thinking on job-event 3.",
            "Watchdog: training is woken.",
            "Watchdog: training is restarted with a fresh context.",
            "Watchdog: training is well again after 60 s (restarted).",
        ]
    );
}

#[tokio::test]
async fn mail_that_waits_for_a_resting_agent_is_silence_and_resting_without_mail_is_not() {
    let w = world().await;
    w.store.agent_progress("watcher", Activity::Idle, "", None, w.clock.now()).await.unwrap();
    assert_eq!(w.until_noticed(3_600).await, None);
    let now = w.clock.now();
    w.store.agent_progress("watcher", Activity::Idle, "", None, now).await.unwrap();
    w.store.send_mail("watcher", MailKind::Message, &json!({}), "m1", now).await.unwrap();
    let noticed = w.until_noticed(300).await.unwrap();
    assert!(noticed <= 180, "noticed after {noticed} s");
}

#[tokio::test]
async fn waiting_for_a_job_that_progresses_is_not_silence() {
    let w = world().await;
    let now = w.clock.now();
    let new = NewJob {
        kind: JobKind::Train,
        spec: json!({}),
        key: "train".to_owned(),
        owner: "training".to_owned(),
        loop_id: None,
        stage: None,
        limit: None,
    };
    let job = w.store.enqueue(&new, now).await.unwrap();
    let lease = now + Duration::from_secs(100_000);
    w.store.claim_next_job("worker", lease, now).await.unwrap().unwrap();
    w.store.agent_progress("training", Activity::Waiting, "for job 1 (train)", Some(job), now).await.unwrap();
    for done in 0..100 {
        let progress = Progress { done, total: 100, unit: "samples", note: String::new() };
        w.store.job_progress(job, &progress, w.clock.now()).await.unwrap();
        assert_eq!(w.until_noticed(60).await, None);
    }
    let noticed = w.until_noticed(300).await.unwrap();
    assert!(noticed <= 240);
    let incident = w.store.incidents(1).await.unwrap().remove(0);
    assert_eq!((incident.kind.as_str(), incident.subject), ("job-stalled", format!("job {job}")));
    assert!(w.open_orders().await.is_empty(), "the agent is not to blame");
}

#[tokio::test]
async fn nobody_is_blamed_for_the_time_before_watching_began() {
    let mut w = world().await;
    w.store.agent_progress("training", Activity::Thinking, "", None, w.clock.now()).await.unwrap();
    w.clock.advance(Duration::from_secs(7_200));
    w.watchdog.watching_since = w.clock.now();
    assert!(w.watchdog.tick(w.clock.now()).await.unwrap().iter().all(|(_, status)| status.ok));
}
