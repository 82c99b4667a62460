//! The only place that knows SQL: one SQLite file, one thread that writes, a few that read.
//!
//! The interface speaks the ladder's language (`accept_report`, `open_matches`, `revoke_certificate`), so that a second backend can stand
//! beside SQLite. Every method returns a [`Pending`]: a future for the host, a blocking `wait` for the command line.
//!
//! * **What was acknowledged is durable.** Commands that wait at the same time share one transaction and one sync; their answers leave after
//!   the commit (decision 0007).
//! * **Several processes may use the file at once.** Every write is a `BEGIN IMMEDIATE` transaction with a busy timeout, and nothing that
//!   another process may change is cached. What a running host must notice raises [`Store::control_generation`].
//! * **Environment and domain are apart.** [`StoreError`] says that the storage failed and nothing happened; refusals of the domain are
//!   values of the methods' own types.
//! * Times are arguments. The store reads no wall clock and draws no randomness.

mod accounts;
mod certificates;
mod changes;
mod column;
mod control;
mod decisions;
mod engines;
mod error;
mod generations;
mod installation;
mod journal;
mod key_epochs;
mod leaderboard;
mod ledger;
mod live;
mod login_tickets;
mod match_details;
mod match_list;
mod matches;
mod open;
mod open_matches;
mod operations;
mod pending;
mod plugins;
mod predictions;
mod queue_tickets;
mod rating;
mod reader;
mod rebuilding;
mod recorded_ticks;
mod replay;
mod replay_comparison;
mod replaying;
mod reports;
mod retention;
mod season_reset;
mod seasons;
mod shadows;
mod standings;
mod statistics;
mod verification;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

pub use accounts::{
    Account, EndedLogin, LOGINS_PER_PLAYER_MAX, Login, LoginId, LoginRefusal, LoginsEnded, NAMES_PER_CALL_MAX, NameTaken, NewLogin,
    UnknownPlayer,
};
pub use certificates::{
    AlreadyRevoked, CertificateRefusal, NewCertificate, RenewRefusal, Revocation, Revoked, StoredCertificate, UnknownCertificate,
};
pub use changes::{CHANGES_REPORTS_PER_STEP, ChangesBackfill, ChangesStep};
pub use control::ControlGeneration;
pub use decisions::{
    BadText, Decided, Decision, DecisionRecord, Deed, ListedReport, Move, NewRevision, Placed, Preview, REPORTS_LISTED_MAX, ReleaseRefusal,
    ReportFilter, RestoreVoidRefusal, Revision, RevisionKind, ShownBy, TEXT_BYTES_MAX, TaintedReports, VoidRefusal,
};
pub use error::StoreError;
pub use generations::{ActiveEngine, SkipRefusal};
pub use installation::{InstallRefusal, Installed, ReplayProgress};
pub use journal::PAYLOAD_BYTES_MAX;
pub use key_epochs::{KeyEpochRefusal, KeyEpochState, NewKeyEpoch, Nuked, StoredKeyEpoch};
pub use leaderboard::{HISTORY_ROWS_MAX, HistoryRow, LEADERBOARD_ROWS_MAX, LeaderboardRow, Profile, QueueStanding};
pub use ledger::{CheckRefusal, DIFFERENCES_LISTED_MAX, Difference, Differences, RatingsCheck};
pub use live::{REPORTS_PER_STEP_MAX, RatedWaiting};
pub use login_tickets::{
    FAMILIES_PER_LOGIN_MAX, FamilyId, LoginTicketRefusal, LoginTicketState, NewLoginTicket, PURGED_PER_CALL_MAX, Purged, StoredLoginTicket,
};
pub use match_details::{GenerationOf, MatchDetails, MatchReportDetails, SeatDetails};
pub use match_list::{ListedMatch, MATCHES_LISTED_MAX, MatchFilter};
pub use matches::{ActiveMatch, AdmitRefusal, MatchRefusal, ReportableMatch, Voided};
pub use open::schema_version;
pub use open_matches::{MatchOrder, MoveRefusal, OpenRefusal};
pub use operations::{BackupProgress, BackupRefusal, RestoreRefusal, Restored, backup_to, restore};
pub use pending::Pending;
pub use plugins::{InstalledComponent, NewPluginVersion, PluginRole, PluginState, PluginVersion, ReloadId, ReloadProgress, Wanted};
pub use predictions::{SURPRISES_COMPARED_MAX, StoredPrediction, TEAMS_PAIRED_MAX};
pub use queue_tickets::{Dequeued, EnqueueRefusal, Member, NewQueueTicket, PARTY_MEMBERS_MAX, WaitingMember, WaitingTicket};
pub use rating::{RatingChange, Unrated};
pub use reader::{READERS, READS_WAITING_MAX};
pub use rebuilding::REPORTS_BUILT_IN_MEMORY_MIN;
pub use recorded_ticks::{RECORDED_BYTES_MAX, RECORDED_TICKS_MAX, RecordedTick};
pub use replay_comparison::ReplayComparison;
pub use replaying::{Replayed, ReplayedBefore};
pub use reports::{AcceptOptions, Accepted, RatingState, StoredAck};
pub use retention::RETIRED_KEPT;
pub use seasons::{ArchivedStanding, NewSeason, Season, SeasonRefusal};
pub use shadows::{GenerationProgress, SHADOW_REPORTS_PER_STEP, Shadow, ShadowState, ShadowStep};
pub use statistics::{MatchCounts, QueueStatistics, Statistics};
pub use verification::{ChainCheck, JournalHead, Problem, Verification, verify};
pub use writer::{COMMANDS_PER_COMMIT_MAX, COMMANDS_WAITING_MAX, Commit, CommitObserver};

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// How long a command waits for another process's transaction before it is [`StoreError::Busy`].
    pub busy_timeout: Duration,
    /// Most pages (of 4 KiB) that the file may grow to; beyond it writes are [`StoreError::Full`]. `None`: the disk decides.
    pub pages_max: Option<u32>,
    /// Told of every commit, for metrics.
    pub commit_observer: Option<CommitObserver>,
}

impl Default for Options {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), pages_max: None, commit_observer: None }
    }
}

/// An open database. Clones share it; the last one to go waits until queued commands are stored and closes the file.
#[derive(Clone)]
pub struct Store(Arc<Opened>);

struct Opened {
    path: PathBuf,
    // Dropped in this order: the last connection to go folds the write-ahead log into the file, and only one that writes can.
    readers: reader::Readers,
    public_readers: reader::Readers,
    writer: writer::Writer,
    engines: Arc<engines::Engines>,
    lock: open::FileLock,
}

impl Store {
    /// Opens the database at `path`; creates it (mode 0600) or migrates it if need be.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] for a file of a newer program, [`StoreError::InUse`] if it must be migrated while another process has it
    /// open, and whatever the file system says.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let lock = open::prepare(path, options.busy_timeout)?;
        let connection = open::write_connection(path, options.busy_timeout)?;
        if let Some(pages_max) = options.pages_max {
            connection.query_row(&format!("PRAGMA max_page_count = {pages_max}"), [], |_| Ok(()))?;
        }
        let spawned = |source| StoreError::file(path, source);
        let writer = writer::Writer::start(connection, options.commit_observer).map_err(spawned)?;
        let connections = || (0..READERS).map(|_| open::read_connection(path, options.busy_timeout)).collect::<Result<_, _>>();
        let readers = reader::Readers::start(connections()?).map_err(spawned)?;
        let public_readers = reader::Readers::start(connections()?).map_err(spawned)?;
        let (path, engines) = (path.to_owned(), Arc::default());
        Ok(Self(Arc::new(Opened { path, writer, readers, public_readers, engines, lock })))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether a write transaction can be had now: commits an empty one. For readiness probes.
    pub fn probe(&self) -> Pending<()> {
        if !self.0.lock.is_held() {
            return Pending::refused(StoreError::Closed);
        }
        self.write(|_| Ok(()))
    }

    pub(crate) fn write<T, F>(&self, body: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.writer.submit(body)
    }

    /// A read that the host's own work waits for: revocations, matches, reports. Never one that a stranger can ask for.
    pub(crate) fn read<T, F>(&self, body: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.readers.submit(body)
    }

    /// A read for pages and statistics, which anybody may ask for, or one that takes long. It waits in a line of its own.
    pub(crate) fn read_public<T, F>(&self, body: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.public_readers.submit(body)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}
