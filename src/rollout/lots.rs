//! Work cut into numbered lots, done by several threads, handed over in order.
//!
//! The one idea: what a lot holds never depends on who works on it, and results are consumed in the order of their
//! numbers. So the thread count changes how long the work takes and not a byte of what it makes. A lot is only begun
//! when fewer than twice as many lots as threads await their turn, which bounds the memory of finished work.

use crate::base::Cancel;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the consumer waits for a result before it is told that time has passed.
const TICK: Duration = Duration::from_millis(500);

/// What the consumer is told.
pub(crate) enum Event<T> {
    /// The next lot in order is done.
    Lot(T),
    /// Half a second passed without one: time to report progress.
    Tick,
}

/// Works on the lots `0..lots` with at most `threads` threads and feeds `consume` on the calling thread.
///
/// A cancelled run begins no new lot; those begun are finished and consumed. Returns the number of lots consumed.
///
/// # Errors
/// The first error of `work` or `consume`; lots begun by then are finished and dropped.
pub(crate) fn in_order<T: Send, E: Send>(
    lots: usize,
    threads: usize,
    cancel: &Cancel,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut consume: impl FnMut(Event<T>) -> Result<(), E>,
) -> Result<usize, E> {
    let threads = threads.clamp(1, lots.max(1));
    let turnstile = Turnstile { lots, window: 2 * threads, state: Mutex::default(), moved: Condvar::new() };
    let (sender, receiver) = mpsc::sync_channel(2 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, turnstile, work) = (sender.clone(), &turnstile, &work);
            scope.spawn(move || {
                let _opened = OpenedOnExit(turnstile);
                while let Some(lot) = turnstile.enter(cancel) {
                    if sender.send((lot, work(lot))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let result = collect(&receiver, &turnstile, &mut consume);
        turnstile.stop();
        result
    })
}

fn collect<T, E>(
    receiver: &Receiver<(usize, Result<T, E>)>,
    turnstile: &Turnstile,
    consume: &mut impl FnMut(Event<T>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok((lot, result)) => {
                early.insert(lot, result?);
                while let Some(done) = early.remove(&next) {
                    consume(Event::Lot(done))?;
                    next += 1;
                    turnstile.consumed(next);
                }
            }
            Err(RecvTimeoutError::Timeout) => consume(Event::Tick)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(next),
        }
    }
}

/// Lets workers in one by one, and holds them back while too much finished work waits.
struct Turnstile {
    lots: usize,
    window: usize,
    state: Mutex<TurnstileState>,
    moved: Condvar,
}

#[derive(Default)]
struct TurnstileState {
    next: usize,
    consumed: usize,
    stopped: bool,
}

impl Turnstile {
    /// The number of the next lot to work on; none when there is none left or the work should end.
    fn enter(&self, cancel: &Cancel) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.next < self.lots && state.next >= state.consumed + self.window {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || cancel.is_cancelled() || state.next >= self.lots {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn consumed(&self, lots: usize) {
        self.lock().consumed = lots;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, TurnstileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker that ends, by a panic too, must not leave the others waiting for its lot. When it ends as planned nobody
/// waits any more: every lot was given out, or the work was stopped.
struct OpenedOnExit<'a>(&'a Turnstile);

impl Drop for OpenedOnExit<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn squares(threads: usize, cancel: &Cancel, fail_at: Option<usize>) -> (Result<usize, String>, Vec<usize>) {
        let mut seen = Vec::new();
        let work = |lot: usize| {
            if Some(lot) == fail_at { Err(format!("lot {lot}")) } else { Ok(lot * lot) }
        };
        let result = in_order(20, threads, cancel, work, |event| {
            if let Event::Lot(value) = event {
                seen.push(value);
            }
            Ok(())
        });
        (result, seen)
    }

    #[test]
    fn lots_arrive_in_order_whatever_the_thread_count() {
        let expected: Vec<usize> = (0..20).map(|n| n * n).collect();
        for threads in [0, 1, 2, 3, 50] {
            assert_eq!(squares(threads, &Cancel::default(), None), (Ok(20), expected.clone()));
        }
    }

    #[test]
    fn an_error_ends_the_work_and_is_returned() {
        for threads in [1, 4] {
            let (result, seen) = squares(threads, &Cancel::default(), Some(3));
            assert_eq!(result, Err("lot 3".to_owned()));
            assert!(seen.len() <= 3);
        }
    }

    #[test]
    fn a_cancelled_run_begins_nothing() {
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(squares(2, &cancel, None), (Ok(0), vec![]));
    }

    #[test]
    fn finished_lots_never_pile_up() {
        let (begun, consumed, worst) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_| -> Result<(), ()> {
            let ahead = begun.fetch_add(1, Ordering::SeqCst) + 1 - consumed.load(Ordering::SeqCst);
            worst.fetch_max(ahead, Ordering::SeqCst);
            Ok(())
        };
        let result = in_order(200, 3, &Cancel::default(), work, |event| {
            if let Event::Lot(()) = event {
                consumed.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        assert_eq!(result, Ok(200));
        assert!(worst.load(Ordering::SeqCst) <= 7, "{worst:?}");
    }
}
