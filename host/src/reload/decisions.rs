//! What operators decided about reports, followed by a running host: voids are built into new ratings, releases are rated.
//!
//! The command that voids builds by itself and says how far it is. If it died, or did not want to, this is who builds. Whoever activates:
//! the ratings of the players who wait are refreshed here.

use std::collections::HashMap;
use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq};
use ladder::rating::RatingEngine;
use plugin_runtime::Role;
use store::{ReplayProgress, StoreError, Wanted};
use tokio::task::JoinSet;

use super::{Reloader, told};
use crate::plugins::chain;

/// What this host has seen of the generations in force, by the queue's position.
pub(super) type Seen = HashMap<usize, GenerationId>;

impl Reloader {
    /// Looks at what is in force in each queue after somebody changed something, and starts in `serving` what there is to do.
    pub(super) async fn follow_decisions(self: &Arc<Self>, seen: &mut Seen, serving: &mut JoinSet<()>) -> Result<(), StoreError> {
        let mut waits = false;
        for (position, queue) in self.queues.iter().enumerate() {
            let Some(active) = self.parts.store.active_engine(queue.id).await? else { continue };
            let before = seen.insert(position, active.generation);
            if before.is_some_and(|before| before != active.generation) {
                self.parts.play.refresh_ratings(position).await;
            }
            waits |= active.waits;
            let rating = Arc::clone(&queue.watched.plugins().rating);
            if !active.newest && active.digest == rating.digest() && active.parameters == rating.parameters() {
                self.rebuild(position, rating, serving);
            }
        }
        if waits {
            let play = Arc::clone(&self.parts.play);
            serving.spawn(async move { play.rate_backlog().await });
        }
        Ok(())
    }

    /// Builds the generation of the queue's newest revision with the engine in force. What is being built already is of that revision, too.
    fn rebuild(self: &Arc<Self>, position: usize, engine: Arc<plugin_runtime::RatingPlugin>, serving: &mut JoinSet<()>) {
        let number = {
            let mut standing = self.queues[position].standing();
            if standing.building.is_some() {
                return;
            }
            standing.asked += 1;
            standing.building = Some((standing.asked, standing.in_force.rating.clone()));
            standing.asked
        };
        let reloader = Arc::clone(self);
        serving.spawn(async move {
            let name = reloader.queues[position].watched.queue();
            tracing::info!(queue = name, "reports were voided or restored: ratings are built again");
            match reloader.build_again(position, number, engine).await {
                Ok(()) => {}
                Err(problem) => tracing::error!(queue = name, "the ratings with the latest decisions are not in force: {problem}"),
            }
        });
    }

    async fn build_again(self: &Arc<Self>, position: usize, number: u64, engine: Arc<plugin_runtime::RatingPlugin>) -> Result<(), String> {
        let queue = &self.queues[position];
        let (digest, reloader) = (engine.digest(), Arc::clone(self));
        let say = move |through: JournalSeq, head: JournalSeq| {
            let queue = &reloader.queues[position];
            let standing = queue.standing();
            let wanted = Wanted::Building { digest, through, head };
            standing.is_building(number).then(|| reloader.say(queue, &standing, Role::Rating, wanted))
        };
        // Nobody waits for the operator's view of things; the next step overwrites it.
        let progress = move |ReplayProgress { through, head }: ReplayProgress| drop(say(through, head));
        let now = self.parts.clock.now();
        let installed = self.parts.store.install_engine(queue.id, engine as Arc<dyn RatingEngine>, progress, now).await;
        let noted = {
            let mut standing = queue.standing();
            let ours = standing.building.take_if(|(building, _)| *building == number).is_some();
            (ours && !standing.refused[super::index(Role::Rating)]).then(|| self.say(queue, &standing, Role::Rating, Wanted::InForce))
        };
        if let Some(noted) = noted {
            told(noted).await;
        }
        match installed {
            Ok(Ok(installed)) => {
                tracing::info!(queue = queue.watched.queue(), generation = %installed.generation, "ratings with the latest decisions are in force");
                self.parts.play.refresh_ratings(position).await;
                self.parts.play.tell_rated(&installed.released);
                self.parts.play.rate_backlog().await;
                Ok(())
            }
            Ok(Err(store::InstallRefusal::Superseded)) => Ok(()),
            Ok(Err(refusal)) => Err(chain(&refusal)),
            Err(error) => Err(chain(&error)),
        }
    }
}
