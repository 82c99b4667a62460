//! A value that is exchanged while others use it: whoever took it keeps it until done, whoever comes later gets the new one.

use std::sync::{Arc, PoisonError, RwLock};

/// What is in force now.
#[derive(Debug)]
pub(crate) struct Current<T: ?Sized>(RwLock<Arc<T>>);

impl<T: ?Sized> Current<T> {
    /// `value` is in force.
    pub(crate) const fn new(value: Arc<T>) -> Self {
        Self(RwLock::new(value))
    }

    /// What is in force now. Take it once for everything that belongs together.
    pub(crate) fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on `value` is in force; returns what was.
    pub(crate) fn replace(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), value)
    }
}
