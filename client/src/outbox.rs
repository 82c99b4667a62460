//! Reports that the host has not yet acknowledged, on disk: they survive a crash of the game server and are sent until they are answered.
//!
//! One file per report, `REPORT_ID.report`, written to a temporary name, synced, renamed and the folder synced: after [`Outbox::store`]
//! returned, the report is durable.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ladder::id::ReportId;
use prost::Message;
use protocol::message::v1::MatchReport;

/// Reports that wait at most; a game server that cannot reach the host for so long stops taking matches.
pub const REPORTS_MAX: usize = 10_000;

/// Why a report could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The disk. The game server's operator can mend it.
    #[error("the outbox folder {folder} failed")]
    Io {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Too many reports wait already.
    #[error("{REPORTS_MAX} reports wait already")]
    Full,
    /// The report has no 16-byte id. The caller's fault.
    #[error("a report id has 16 bytes")]
    NoReportId,
}

/// The folder of waiting reports.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    waiting: BTreeMap<ReportId, MatchReport>,
}

impl Outbox {
    /// Opens the folder, makes it if it is not there, and loads what waits in it. A file that is no report is set aside as `.broken`.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`].
    pub fn open(folder: &Path) -> Result<Self, OutboxError> {
        let mut outbox = Self { folder: folder.to_owned(), waiting: BTreeMap::new() };
        outbox.load().map_err(|source| outbox.failed(source))?;
        Ok(outbox)
    }

    fn load(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "report") {
                continue;
            }
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(ReportId::from_hex);
            match (id, MatchReport::decode(fs::read(&path)?.as_slice())) {
                (Some(id), Ok(report)) if report.report_id == id.0 => {
                    self.waiting.insert(id, report);
                }
                _ => {
                    tracing::warn!(path = %path.display(), "not a report: set aside");
                    fs::rename(&path, path.with_extension("broken"))?;
                }
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> OutboxError {
        OutboxError::Io { folder: self.folder.clone(), source }
    }

    /// Keeps a report until [`Self::remove`]; durable on return.
    ///
    /// # Errors
    ///
    /// The disk's fault, or too many reports wait.
    pub fn store(&mut self, report: MatchReport) -> Result<ReportId, OutboxError> {
        let Ok(bytes) = <[u8; 16]>::try_from(report.report_id.as_slice()) else { return Err(OutboxError::NoReportId) };
        let id = ReportId(bytes);
        if self.waiting.len() >= REPORTS_MAX {
            return Err(OutboxError::Full);
        }
        self.write(id, &report.encode_to_vec()).map_err(|source| self.failed(source))?;
        self.waiting.insert(id, report);
        Ok(id)
    }

    fn write(&self, id: ReportId, bytes: &[u8]) -> io::Result<()> {
        let partial = self.folder.join(format!("{id}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, self.path(id))?;
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, id: ReportId) -> PathBuf {
        self.folder.join(format!("{id}.report"))
    }

    /// Forgets a report that was acknowledged or refused. Unknown ids are fine: an answer may come twice.
    ///
    /// # Errors
    ///
    /// The disk's fault; the report will be sent again and answered again.
    pub fn remove(&mut self, id: ReportId) -> Result<(), OutboxError> {
        if self.waiting.remove(&id).is_some() {
            fs::remove_file(self.path(id)).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// What waits, by report id.
    pub fn waiting(&self) -> impl Iterator<Item = &MatchReport> {
        self.waiting.values()
    }

    /// The report with this id, if it waits.
    #[must_use]
    pub fn get(&self, id: ReportId) -> Option<&MatchReport> {
        self.waiting.get(&id)
    }

    /// The ids of what waits, in order.
    pub fn ids(&self) -> impl Iterator<Item = ReportId> + '_ {
        self.waiting.keys().copied()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: u8) -> MatchReport {
        MatchReport { report_id: vec![id; 16], match_id: u64::from(id), ..MatchReport::default() }
    }

    #[test]
    fn reports_survive_a_restart_until_they_are_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut outbox = Outbox::open(folder.path()).expect("opens");
        let first = outbox.store(report(1)).expect("stored");
        outbox.store(report(2)).expect("stored");
        drop(outbox);
        let mut outbox = Outbox::open(folder.path()).expect("opens again");
        assert_eq!(outbox.len(), 2);
        outbox.remove(first).expect("removed");
        outbox.remove(first).expect("a second answer changes nothing");
        let outbox = Outbox::open(folder.path()).expect("opens again");
        assert_eq!(outbox.waiting().map(|report| report.match_id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_broken_file_is_set_aside_and_the_others_load() {
        let folder = tempfile::tempdir().expect("a folder");
        Outbox::open(folder.path()).expect("opens").store(report(1)).expect("stored");
        fs::write(folder.path().join(format!("{}.report", ReportId([2; 16]))), b"\xff\xff").expect("written");
        let outbox = Outbox::open(folder.path()).expect("opens");
        assert_eq!(outbox.len(), 1);
        assert!(folder.path().join(format!("{}.broken", ReportId([2; 16]))).exists());
    }

    #[test]
    fn a_report_without_an_id_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let stored = Outbox::open(folder.path()).expect("opens").store(MatchReport::default());
        assert!(matches!(stored, Err(OutboxError::NoReportId)));
    }
}
