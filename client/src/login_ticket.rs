//! Where a player's login ticket rests between two connections. It changes at every handshake, and losing the newest one means logging in again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::secret::LoginTicket;
use zeroize::{Zeroize, Zeroizing};

/// Keeps one login ticket.
pub trait TicketStore: Send + Sync {
    /// Keeps `ticket` instead of the one before; durable on return, if the store is durable at all.
    ///
    /// # Errors
    ///
    /// The disk's fault: the ticket must not be used then.
    fn save(&mut self, ticket: &LoginTicket) -> io::Result<()>;
}

/// Forgets everything at the end of the process: for bots and tests.
#[derive(Debug, Default)]
pub struct InMemory;

impl TicketStore for InMemory {
    fn save(&mut self, _ticket: &LoginTicket) -> io::Result<()> {
        Ok(())
    }
}

/// One file, readable by its owner only, replaced atomically.
#[derive(Debug)]
pub struct InFile {
    path: PathBuf,
}

impl InFile {
    /// Keeps the login ticket at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The kept login ticket, `None` if there is none.
    ///
    /// # Errors
    ///
    /// The disk's fault, or the file is no login ticket.
    pub fn load(&self) -> io::Result<Option<LoginTicket>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(mut ticket) = <[u8; 48]>::try_from(bytes.as_slice()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a login ticket has 48 bytes"));
        };
        let loaded = LoginTicket::from_bytes(ticket);
        ticket.zeroize();
        Ok(Some(loaded))
    }
}

impl TicketStore for InFile {
    fn save(&mut self, ticket: &LoginTicket) -> io::Result<()> {
        let partial = self.path.with_extension("partial");
        let mut file = create_private(&partial)?;
        file.write_all(ticket.expose())?;
        file.sync_all()?;
        fs::rename(&partial, &self.path)?;
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_ticket_comes_back_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ticket");
        let mut store = InFile::new(&path);
        assert!(store.load().expect("nothing there").is_none());
        store.save(&LoginTicket::from_bytes([7; 48])).expect("saved");
        assert!(store.load().expect("there").expect("a ticket").matches(&[7; 48]));
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_another_length_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ticket");
        fs::write(&path, b"short").expect("written");
        assert!(InFile::new(&path).load().is_err());
    }
}
