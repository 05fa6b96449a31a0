//! Time enters as an argument: the program runs on [`SystemClock`], tests on [`FakeClock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A moment in UTC.
pub type Timestamp = jiff::Timestamp;

/// Tells what time it is.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when a test says so. Clones share the same time.
#[derive(Debug, Clone)]
pub struct FakeClock {
    millis: Arc<AtomicI64>,
}

impl FakeClock {
    /// A clock that stands at `start`, to the millisecond.
    pub fn at(start: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(start.as_millisecond())) }
    }

    /// Moves the clock forward by `by`, to the millisecond.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fake_clock_moves_only_on_request_and_is_shared() {
        let clock = FakeClock::at(Timestamp::UNIX_EPOCH);
        let same = clock.clone();
        assert_eq!(same.now(), Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(same.now().as_millisecond(), 1500);
    }
}
