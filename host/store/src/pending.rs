//! The answer of the store, not there yet: a future for the host, a blocking wait for the command line.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::StoreError;

/// An answer on its way. Dropping it does not call the command back.
///
/// A write's answer comes after its transaction was committed and synced to the disk, never before.
#[must_use = "the answer of the store says whether anything was stored"]
#[derive(Debug)]
pub struct Pending<T>(Answer<T>);

#[derive(Debug)]
enum Answer<T> {
    Coming(oneshot::Receiver<Result<T, StoreError>>),
    /// Refused before it reached a thread of the store; `None` once taken.
    Refused(Option<StoreError>),
}

impl<T> Pending<T> {
    pub(crate) fn coming() -> (oneshot::Sender<Result<T, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Answer::Coming(receiver)))
    }

    pub(crate) fn refused(error: StoreError) -> Self {
        Self(Answer::Refused(Some(error)))
    }

    /// Blocks this thread until the answer is there. For the command line and tests: a task of an async runtime awaits instead.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was stored.
    ///
    /// # Panics
    /// When called from inside an async runtime, where it would stall everybody else.
    pub fn wait(self) -> Result<T, StoreError> {
        match self.0 {
            Answer::Coming(receiver) => receiver.blocking_recv().unwrap_or(Err(StoreError::Closed)),
            Answer::Refused(error) => Err(error.unwrap_or(StoreError::Closed)),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Coming(receiver) => Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed))),
            Answer::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(StoreError::Closed))),
        }
    }
}

impl<T> Unpin for Pending<T> {}
