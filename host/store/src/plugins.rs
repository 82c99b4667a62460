//! What commands and the running host tell each other about plugins: installed components, versions to roll back to, requests to reload, and
//! what became of them. `plugins.toml` stays the only truth about what is wanted.

use ladder::id::{Digest, JournalSeq};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::{Pending, Store, column, control};

/// Requests that are remembered.
const RELOADS_KEPT: u64 = 1000;

/// A role that a plugin fills. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PluginRole {
    /// Rating engine.
    Rating = 1,
    /// Stat rules.
    Rules = 2,
    /// Matchmaking policy.
    Policy = 3,
}

impl PluginRole {
    const ALL: [Self; 3] = [Self::Rating, Self::Rules, Self::Policy];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u8 == number)
    }

    fn bit(self) -> u8 {
        1 << (self as u8 - 1)
    }
}

/// A component that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledComponent {
    /// What its bytes hash to.
    pub digest: Digest,
    /// As it calls itself.
    pub name: String,
    /// Its author's version.
    pub version: String,
    /// What it can be.
    pub roles: Vec<PluginRole>,
    /// Its length.
    pub bytes: u64,
    /// Whose signature was verified, name and key with a space between; `None`: none was asked for.
    pub publisher: Option<String>,
    /// When.
    pub installed_at: UnixMillis,
}

/// One version of a queue's table for a role, as it was written into `plugins.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginVersion {
    /// Its number: rises, over all queues and roles.
    pub number: u64,
    /// The table, as TOML.
    pub settings: String,
    /// The component.
    pub digest: Digest,
    /// Who wrote it.
    pub written_by: String,
    /// When.
    pub written_at: UnixMillis,
}

/// A version that is to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPluginVersion {
    /// The queue's name.
    pub queue: String,
    /// The role.
    pub role: PluginRole,
    /// The table, as TOML.
    pub settings: String,
    /// The component.
    pub digest: Digest,
    /// Who writes it.
    pub written_by: String,
}

/// What is to become of the plugin that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: it is the one that `plugins.toml` names.
    InForce,
    /// This one takes over when it has rated the journal.
    Building {
        /// Which.
        digest: Digest,
        /// Entries looked at.
        through: JournalSeq,
        /// Entries of the journal.
        head: JournalSeq,
    },
    /// This one was refused.
    Refused {
        /// Which.
        digest: Digest,
        /// Why.
        problem: String,
    },
}

/// What the running host says about one role of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginState {
    /// The queue's name.
    pub queue: String,
    /// The role.
    pub role: PluginRole,
    /// The component in force.
    pub digest: Digest,
    /// As it calls itself.
    pub name: String,
    /// Its author's version.
    pub version: String,
    /// Since when it is in force in this process.
    pub since: UnixMillis,
    /// What comes next.
    pub wanted: Wanted,
}

/// A request to read `plugins.toml` again, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReloadId(pub u64);

/// How far such a request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadProgress {
    /// No running host has seen it yet.
    Waiting,
    /// A host is loading.
    Taken,
    /// All that was asked for is in force, or a rating engine is still being built; otherwise the problem.
    Ended(Result<(), String>),
}

impl Store {
    /// Remembers a component; one that is known stays as it was first installed, with its newest publisher.
    pub fn record_component(&self, component: InstalledComponent) -> Pending<()> {
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO components (digest, name, version, roles, bytes, publisher, installed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (digest) DO UPDATE SET publisher = coalesce(excluded.publisher, publisher)",
            )?;
            let InstalledComponent { digest, name, version, roles, bytes, publisher, installed_at } = &component;
            let roles = roles.iter().fold(0, |roles, role| roles | role.bit());
            statement.execute(params![digest.0, name, version, roles, column::sql(*bytes), publisher, column::sql_time(*installed_at)])?;
            Ok(())
        })
    }

    /// Every installed component, the newest first.
    pub fn list_components(&self) -> Pending<Vec<InstalledComponent>> {
        self.read_public(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT digest, name, version, roles, bytes, publisher, installed_at FROM components ORDER BY installed_at DESC, digest",
            )?;
            let component = |row: &Row<'_>| {
                let roles: u8 = row.get(3)?;
                Ok(InstalledComponent {
                    digest: column::digest(row, 0)?,
                    name: row.get(1)?,
                    version: row.get(2)?,
                    roles: PluginRole::ALL.into_iter().filter(|role| roles & role.bit() != 0).collect(),
                    bytes: column::number(row, 4)?,
                    publisher: row.get(5)?,
                    installed_at: column::time(row, 6)?,
                })
            };
            Ok(statement.query_map([], component)?.collect::<Result<_, _>>()?)
        })
    }

    /// Remembers a version, unless it is the newest one already; returns its number.
    pub fn record_plugin_version(&self, new: NewPluginVersion, now: UnixMillis) -> Pending<u64> {
        self.write(move |connection| {
            let NewPluginVersion { queue, role, settings, digest, written_by } = &new;
            let newest = load_versions(connection, queue, *role)?.pop();
            if let Some(newest) = newest.filter(|newest| newest.settings == *settings) {
                return Ok(newest.number);
            }
            let mut insert = connection.prepare_cached(
                "INSERT INTO plugin_versions (queue, role, settings, digest, written_by, written_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 RETURNING plugin_version",
            )?;
            let row = params![queue, *role as u8, settings, digest.0, written_by, column::sql_time(now)];
            Ok(insert.query_row(row, |row| column::number(row, 0))?)
        })
    }

    /// The versions of one role of one queue, the oldest first.
    pub fn list_plugin_versions(&self, queue: &str, role: PluginRole) -> Pending<Vec<PluginVersion>> {
        let queue = queue.to_owned();
        self.read_public(move |connection| load_versions(connection, &queue, role))
    }

    /// The host says what it runs in one role.
    pub fn note_plugin_state(&self, state: PluginState) -> Pending<()> {
        self.write(move |connection| {
            let PluginState { queue, role, digest, name, version, since, wanted } = &state;
            let (wanted, through, head, problem) = match wanted {
                Wanted::InForce => (None, None, None, None),
                Wanted::Building { digest, through, head } => {
                    (Some(digest.0), Some(column::sql(through.0)), Some(column::sql(head.0)), None)
                }
                Wanted::Refused { digest, problem } => (Some(digest.0), None, None, Some(problem)),
            };
            let mut statement = connection.prepare_cached(
                "INSERT OR REPLACE INTO plugin_states (queue, role, digest, name, version, since, wanted, through, head, problem)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            let since = column::sql_time(*since);
            statement.execute(params![queue, *role as u8, digest.0, name, version, since, wanted, through, head, problem])?;
            Ok(())
        })
    }

    /// What the host said last, by queue and role. It may have ended since.
    pub fn list_plugin_states(&self) -> Pending<Vec<PluginState>> {
        self.read_public(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT queue, role, digest, name, version, since, wanted, through, head, problem FROM plugin_states ORDER BY queue, role",
            )?;
            statement.query_and_then([], plugin_state)?.collect()
        })
    }

    /// Forgets what an earlier host said: called by a host that starts.
    pub fn clear_plugin_states(&self) -> Pending<()> {
        self.write(|connection| {
            connection.prepare_cached("DELETE FROM plugin_states")?.execute([])?;
            Ok(())
        })
    }

    /// Asks the running host to read `plugins.toml` again.
    pub fn request_reload(&self, requested_by: impl Into<String>, now: UnixMillis) -> Pending<ReloadId> {
        let requested_by = requested_by.into();
        self.write(move |connection| {
            let mut insert =
                connection.prepare_cached("INSERT INTO reloads (requested_by, requested_at) VALUES (?1, ?2) RETURNING reload")?;
            let reload = insert.query_row(params![requested_by, column::sql_time(now)], |row| column::number(row, 0))?;
            let mut forget = connection.prepare_cached("DELETE FROM reloads WHERE reload < ?1")?;
            forget.execute([column::sql(reload.saturating_sub(RELOADS_KEPT))])?;
            control::bump(connection)?;
            Ok(ReloadId(reload))
        })
    }

    /// A host takes all requests that wait; returns them.
    pub fn take_reloads(&self, now: UnixMillis) -> Pending<Vec<ReloadId>> {
        self.write(move |connection| {
            let mut statement = connection.prepare_cached("UPDATE reloads SET taken_at = ?1 WHERE taken_at IS NULL RETURNING reload")?;
            let taken = statement.query_map([column::sql_time(now)], |row| column::number(row, 0).map(ReloadId))?;
            Ok(taken.collect::<Result<_, _>>()?)
        })
    }

    /// Whether a request waits to be taken.
    pub fn reload_waits(&self) -> Pending<bool> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM reloads WHERE taken_at IS NULL)")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        })
    }

    /// A host has done what these requests asked for, or says why not.
    pub fn end_reloads(&self, reloads: Vec<ReloadId>, problem: Option<String>, now: UnixMillis) -> Pending<()> {
        self.write(move |connection| {
            let mut statement = connection.prepare_cached("UPDATE reloads SET ended_at = ?2, problem = ?3 WHERE reload = ?1")?;
            for reload in reloads {
                statement.execute(params![column::sql(reload.0), column::sql_time(now), problem])?;
            }
            Ok(())
        })
    }

    /// Ends with `problem` what an earlier host took and never ended: called by a host that starts.
    pub fn end_abandoned_reloads(&self, problem: impl Into<String>, now: UnixMillis) -> Pending<()> {
        let problem = problem.into();
        self.write(move |connection| {
            let mut statement = connection
                .prepare_cached("UPDATE reloads SET ended_at = ?1, problem = ?2 WHERE taken_at IS NOT NULL AND ended_at IS NULL")?;
            statement.execute(params![column::sql_time(now), problem])?;
            Ok(())
        })
    }

    /// How far a request came; `None`: there was none of this number, or it is too old.
    pub fn reload_progress(&self, reload: ReloadId) -> Pending<Option<ReloadProgress>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached("SELECT taken_at, ended_at, problem FROM reloads WHERE reload = ?1")?;
            let progress = |row: &Row<'_>| {
                Ok(match (column::number_option(row, 0)?, column::number_option(row, 1)?, row.get::<_, Option<String>>(2)?) {
                    (_, Some(_), problem) => ReloadProgress::Ended(problem.map_or(Ok(()), Err)),
                    (Some(_), None, _) => ReloadProgress::Taken,
                    (None, None, _) => ReloadProgress::Waiting,
                })
            };
            Ok(statement.query_row([column::sql(reload.0)], progress).optional()?)
        })
    }
}

fn load_versions(connection: &Connection, queue: &str, role: PluginRole) -> Result<Vec<PluginVersion>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT plugin_version, settings, digest, written_by, written_at FROM plugin_versions WHERE queue = ?1 AND role = ?2
         ORDER BY plugin_version",
    )?;
    let version = |row: &Row<'_>| {
        Ok(PluginVersion {
            number: column::number(row, 0)?,
            settings: row.get(1)?,
            digest: column::digest(row, 2)?,
            written_by: row.get(3)?,
            written_at: column::time(row, 4)?,
        })
    };
    Ok(statement.query_map(params![queue, role as u8], version)?.collect::<Result<_, _>>()?)
}

fn plugin_state(row: &Row<'_>) -> Result<PluginState, StoreError> {
    let wanted: Option<[u8; 32]> = row.get(6)?;
    let problem: Option<String> = row.get(9)?;
    let entry = |column| -> rusqlite::Result<JournalSeq> { Ok(JournalSeq(column::number_option(row, column)?.unwrap_or(0))) };
    Ok(PluginState {
        queue: row.get(0)?,
        role: column::known(PluginRole::from_number(row.get(1)?), "plugin_states.role")?,
        digest: column::digest(row, 2)?,
        name: row.get(3)?,
        version: row.get(4)?,
        since: column::time(row, 5)?,
        wanted: match (wanted.map(Digest), problem) {
            (None, _) => Wanted::InForce,
            (Some(digest), Some(problem)) => Wanted::Refused { digest, problem },
            (Some(digest), None) => Wanted::Building { digest, through: entry(7)?, head: entry(8)? },
        },
    })
}
