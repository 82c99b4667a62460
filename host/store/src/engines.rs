//! The engines that this process can run, and which of them was asked for last.

use std::sync::{Arc, Mutex, PoisonError};

use ladder::id::{Digest, QueueId};
use ladder::rating::RatingEngine;

use crate::generations::Generation;
use crate::rating::{Standing, Unrated};

/// The engines that this process can run, in the order in which they were asked for: the last one of a queue is the one that its operator
/// wants. Which of them is in force is decided by the database, by digest and parameters.
#[derive(Default)]
pub(crate) struct Engines(Mutex<Vec<Arc<Ready>>>);

/// An engine that said where players start.
pub(crate) struct Ready {
    pub(crate) queue: QueueId,
    pub(crate) engine: Arc<dyn RatingEngine>,
    pub(crate) initial: Standing,
}

impl Ready {
    pub(crate) fn is(&self, queue: QueueId, digest: Digest, parameters: &str) -> bool {
        self.queue == queue && self.engine.digest() == digest && self.engine.parameters() == parameters
    }
}

impl Engines {
    /// Adds an engine and returns the one that had the same digest and parameters, which it stands for from now on.
    pub(crate) fn add(&self, ready: &Arc<Ready>) -> Option<Arc<Ready>> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = engines.iter().position(|other| other.is(ready.queue, ready.engine.digest(), ready.engine.parameters()));
        let replaced = same.map(|position| engines.remove(position));
        engines.push(Arc::clone(ready));
        replaced
    }

    /// Takes an engine out that was not installed; the one that it replaced may be in force and comes back.
    pub(crate) fn give_up(&self, gone: &Arc<Ready>, replaced: Option<Arc<Ready>>) {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = engines.iter().position(|other| Arc::ptr_eq(other, gone)) else { return };
        engines.remove(position);
        if let Some(replaced) = replaced {
            engines.insert(position, replaced);
        }
    }

    /// Whether no other engine was asked for since.
    pub(crate) fn is_latest(&self, ready: &Arc<Ready>) -> bool {
        let engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        engines.iter().rfind(|other| other.queue == ready.queue).is_some_and(|latest| Arc::ptr_eq(latest, ready))
    }

    /// Forgets the engines of the queue that were asked for before this one, which is in force now.
    pub(crate) fn forget_older(&self, in_force: &Arc<Ready>) {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = engines.iter().position(|other| Arc::ptr_eq(other, in_force)) else { return };
        let mut at = 0;
        engines.retain(|other| {
            let older = at < position && other.queue == in_force.queue;
            at += 1;
            !older
        });
    }

    pub(crate) fn find(&self, queue: QueueId, generation: &Generation) -> Result<Arc<Ready>, Unrated> {
        let engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = engines.iter().find(|ready| ready.is(queue, generation.digest, &generation.parameters));
        match fits {
            Some(ready) => Ok(Arc::clone(ready)),
            None if engines.iter().any(|ready| ready.queue == queue) => Err(Unrated::OtherEngine),
            None => Err(Unrated::NoEngine),
        }
    }
}
