//! Hands what ticks see to whoever records it, one tick at a time. A tick never waits: while the last one is being recorded, others are not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ladder::pool::Pool;
use tokio::sync::Notify;

/// Tickets that a tick needs to be worth recording: nobody can be matched with nobody.
const TICKETS_MIN: usize = 2;

/// Between the ticks of one queue and the task that records them.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    wanted: AtomicBool,
    offered: Mutex<Option<Pool>>,
    arrived: Notify,
}

impl Recorder {
    /// Whether anybody wants ticks.
    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Copies the pool, if somebody wants it and the one before was taken.
    pub(super) fn offer(&self, pool: &Pool) {
        if !self.wanted.load(Ordering::Relaxed) || pool.tickets() < TICKETS_MIN {
            return;
        }
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if offered.is_none() {
            *offered = Some(pool.clone());
            self.arrived.notify_one();
        }
    }

    /// Waits for a tick and copies it. Until [`Recorder::done`] no other one is offered.
    pub(crate) async fn next(&self) -> Pool {
        loop {
            self.arrived.notified().await;
            let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(pool) = offered {
                return pool;
            }
        }
    }

    /// The tick was recorded, or given up.
    pub(crate) fn done(&self) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
