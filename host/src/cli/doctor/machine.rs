//! What the machine must give: ports, disk, open files.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Check;
use crate::config::{Config, Listen};

/// Open files below which a busy host runs out.
const OPEN_FILES_MIN: u64 = 4_096;
/// How long the host may take to say that it is there.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// Each port is free, or held by this host.
pub(super) fn ports(listen: &Listen) -> Vec<Check> {
    let running = is_ranked(listen.http);
    [("port http", listen.http), ("port s2s", listen.s2s), ("port rdv", listen.rdv)]
        .map(|(name, address)| match TcpListener::bind(address) {
            Ok(_free) => Check::ok(name, format!("{address} is free")),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && running => {
                Check::ok(name, format!("{address} is held by the running host"))
            }
            Err(error) => Check::fail(
                name,
                format!("{address} cannot be had: {error}"),
                "stop what holds it (`ss -ltnp` shows it), or change [listen] in ranked.toml",
            ),
        })
        .into()
}

/// Whether a host of ours answers there.
fn is_ranked(address: SocketAddr) -> bool {
    let probe = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_TIME_MAX)?;
        stream.set_read_timeout(Some(PROBE_TIME_MAX))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"HTTP/1.1 200")
    };
    probe().unwrap_or(false)
}

/// Room for the database.
pub(super) fn disk(config: &Config) -> Check {
    let database = config.database_path();
    let folder = database.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let least = config.host.database.disk_free_bytes_min;
    match free_bytes(folder) {
        None => Check::warn("disk", format!("the free space of {} is unknown", folder.display()), "`df` is needed to tell"),
        Some(free) if free < least => Check::warn(
            "disk",
            format!("{} MiB free at {}, less than {} MiB", free >> 20, folder.display(), least >> 20),
            "make room, or lower `disk_free_bytes_min` below [database]",
        ),
        Some(free) => Check::ok("disk", format!("{} MiB free at {}", free >> 20, folder.display())),
    }
}

/// As POSIX `df` says: the standard library does not know.
fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kilobytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Each session is an open file.
pub(super) fn open_files() -> Check {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(|rest| rest.split_whitespace().next());
    match soft.map(str::parse::<u64>) {
        Some(Ok(files)) if files < OPEN_FILES_MIN => Check::warn(
            "open files",
            format!("at most {files} for this shell; each session is one"),
            format!("`ulimit -n {OPEN_FILES_MIN}` before `ranked serve`, or LimitNOFILE in the service file"),
        ),
        Some(Ok(files)) => Check::ok("open files", format!("at most {files}")),
        Some(Err(_unlimited)) => Check::ok("open files", "unlimited"),
        None => Check::warn("open files", "the limit is unknown", "`ulimit -n` tells it"),
    }
}
