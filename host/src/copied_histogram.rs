//! A histogram for `/metrics` whose observations are counted elsewhere: the plugins' own counters never wait for a registry's lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Counts per bucket, and their sum. Clones share them.
#[derive(Clone, Debug)]
pub struct CopiedHistogram(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    /// Upper end and observations of each bucket, each observation once; the last end is infinite.
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl CopiedHistogram {
    /// An empty one with these upper ends, ascending; what is above the last has a bucket of its own.
    #[must_use]
    pub fn new(ends: impl IntoIterator<Item = f64>) -> Self {
        let buckets = ends.into_iter().chain([f64::INFINITY]).map(|end| (end, 0)).collect();
        Self(Arc::new(Mutex::new(Counts { buckets, sum: 0.0 })))
    }

    /// Adds observations, bucket by bucket in ascending order, then those above the last end, and what they sum up to.
    pub fn add(&self, observed: impl IntoIterator<Item = u64>, sum: f64) {
        let mut counts = self.counts();
        for ((_, count), new) in counts.buckets.iter_mut().zip(observed) {
            *count += new;
        }
        counts.sum += sum;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TypedMetric for CopiedHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for CopiedHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.counts();
        let count = counts.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(counts.sum, count, &counts.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
