//! Closes what must not live: the tie between credentials that die and sessions that live by them.
//!
//! Ten times a second the store's control generation is compared; when a command, here or in another process, has changed a certificate, a key
//! epoch or a login, the directory is read anew. At once then, and four times a second in any case, every session is judged again: revocation,
//! retirement, expiry and old age close it, with nothing more taken from its peer.

use std::sync::Arc;
use std::time::Duration;

use ladder::time::UnixMillis;
use store::{ControlGeneration, Store, StoreError};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::keys::Keyring;
use crate::registry::Registry;

const POLL_EVERY: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Waiting for key files that another process is about to write.
const KEY_FILES_EVERY: Duration = Duration::from_secs(1);
/// Expired login tickets leave the database, and the channel certificate is looked at.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(600);

/// The watch over every session of a host.
pub struct Watch {
    /// The time.
    pub clock: Clock,
    /// The truth about credentials.
    pub store: Store,
    /// Its mirror.
    pub directory: Arc<Directory>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Life of a channel certificate; it is renewed when less than half of it is left.
    pub channel_life: Duration,
}

impl Watch {
    /// Watches until `stop`. `seen` is the control generation before the directory was loaded.
    pub async fn run(self, mut seen: ControlGeneration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut swept_at, mut keys_at, mut tidied_at) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = self.clock.now();
            let keys_due = keys_at.elapsed() >= KEY_FILES_EVERY && self.directory.lacks_key_files();
            match self.refresh(seen, keys_due, now).await {
                Ok(Some(generation)) => {
                    seen = generation;
                    keys_at = Instant::now();
                    self.sweep(now);
                    swept_at = Instant::now();
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, code = error.code(), "the database does not say which credentials count"),
            }
            if swept_at.elapsed() >= SWEEP_EVERY {
                self.sweep(now);
                swept_at = Instant::now();
            }
            if tidied_at.elapsed() >= HOUSEKEEPING_EVERY {
                self.tidy(now).await;
                tidied_at = Instant::now();
            }
        }
    }

    async fn refresh(&self, seen: ControlGeneration, anyway: bool, now: UnixMillis) -> Result<Option<ControlGeneration>, StoreError> {
        // Read before the rest: a change in between is met again next time.
        let generation = self.store.control_generation().await?;
        if generation == seen && !anyway {
            return Ok(None);
        }
        self.directory.reload(&self.store, now).await?;
        Ok(Some(generation))
    }

    fn sweep(&self, now: UnixMillis) {
        let Self { directory, registry, .. } = self;
        let closed = registry.close_dead(now, |in_force| directory.judge_server(in_force, now), |login| directory.judge_player(login));
        if closed > 0 {
            tracing::info!(target: "audit", event = "sessions-closed", closed, "sessions closed that must not live");
        }
    }

    async fn tidy(&self, now: UnixMillis) {
        self.directory.forget_expired(now);
        if let Err(error) = self.store.purge_expired(now).await {
            tracing::warn!(%error, code = error.code(), "expired login tickets stay for now");
        }
        let keyring = self.directory.keyring();
        if keyring.channel_not_after().since(now) >= self.channel_life / 2 || !keyring.can_sign() {
            return;
        }
        let life = self.channel_life;
        let renewed = tokio::task::spawn_blocking(move || {
            let mut fresh = Keyring::load(keyring.paths().clone())?;
            fresh.renew_channel_if_due(life, now)?;
            Ok::<_, crate::keys::KeyError>(fresh)
        });
        match renewed.await {
            Ok(Ok(fresh)) => self.directory.use_keyring(Arc::new(fresh)),
            Ok(Err(error)) => tracing::error!(%error, fix = error.fix(), "the channel certificate cannot be renewed"),
            Err(error) => tracing::error!(%error, "renewing the channel certificate failed"),
        }
    }
}
