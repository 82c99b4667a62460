//! A community on disk: what `init` makes loads again, and nothing else does.

use std::os::unix::fs::PermissionsExt as _;

use protocol::certificate::Scope;
use protocol::secret::AuthKey;
use store::NewCertificate;

use super::*;

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn paths(folder: &Path) -> KeyPaths {
    KeyPaths { community: folder.join("community.toml"), pepper: folder.join("pepper.key"), folder: folder.join("keys") }
}

fn community(folder: &Path) -> Keyring {
    Keyring::create(paths(folder), &Public::default(), DAY * 7, NOW).expect("a new folder")
}

fn order() -> IssueOrder {
    IssueOrder { server: None, owner: "eu-1.example".to_owned(), scope: Scope::ALL, life: DAY * 90, node_key: None }
}

#[test]
fn a_community_loads_again_and_its_secret_files_are_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = community(folder.path());
    let loaded = Keyring::load(paths(folder.path())).expect("our own files");
    assert_eq!(loaded.community(), made.community());
    assert_eq!(loaded.identity().channel_certificate, made.identity().channel_certificate);
    assert!(loaded.can_sign());
    let paths = paths(folder.path());
    for path in [paths.pepper.clone(), paths.channel(), paths.kek(), paths.signing(KeyEpoch(1))] {
        assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(std::fs::metadata(&paths.folder).expect("the folder").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_community_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = community(folder.path());
    let again = Keyring::create(paths(folder.path()), &Public::default(), DAY, NOW);
    assert!(matches!(again, Err(KeyError::File(SecretFileError::Exists { .. }))));
    assert_eq!(Keyring::load(paths(folder.path())).expect("untouched").realm_id(), made.realm_id());
}

#[test]
fn the_host_computes_the_auth_key_that_the_certificate_file_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = community(folder.path());
    let issued = keyring.issue(order(), NOW).expect("a sound order");
    let theirs = AuthKey::from_certificate_secret(&keyring.pepper, &issued.file.secret);
    let ours = keyring.auth_key(&issued.record).expect("its own record");
    assert!(ours.matches(theirs.expose()));
    assert!(issued.file.node_key.is_some());
    assert!(issued.file.certificate.clone().verify(&keyring.trust(), NOW).is_ok());
    let moved = NewCertificate { server: ladder::id::ServerId([1; 16]), ..issued.record };
    assert_eq!(keyring.auth_key(&moved).err(), Some(AuthKeyError::Unseal(UnsealError::Tampered)));
}

#[test]
fn without_the_signing_key_the_host_runs_and_issues_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    community(folder.path());
    std::fs::remove_file(paths(folder.path()).signing(KeyEpoch(1))).expect("the file");
    let keyring = Keyring::load(paths(folder.path())).expect("the rest suffices");
    assert!(!keyring.can_sign());
    assert!(matches!(keyring.issue(order(), NOW), Err(IssueRefusal::Key(KeyError::NoSigningKey { .. }))));
}

#[test]
fn the_channel_certificate_is_renewed_when_half_its_life_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut keyring = community(folder.path());
    assert!(!keyring.renew_channel_if_due(DAY * 7, NOW.plus(DAY * 3)).expect("nothing to do"));
    assert!(keyring.renew_channel_if_due(DAY * 7, NOW.plus(DAY * 4)).expect("the signing key is here"));
    assert_eq!(keyring.channel_not_after(), NOW.plus(DAY * 11));
    let loaded = Keyring::load(paths(folder.path())).expect("our own files");
    assert_eq!(loaded.identity().channel_certificate, keyring.identity().channel_certificate);
}

#[test]
fn after_a_successor_is_adopted_nothing_older_is_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut keyring = community(folder.path());
    let old = keyring.issue(order(), NOW).expect("a sound order");
    let successor = keyring.prepare_successor().expect("a new file");
    assert_eq!(successor.key_epoch(), KeyEpoch(2));
    assert_eq!(keyring.key_epoch(), KeyEpoch(1), "not believed yet");
    keyring.adopt(successor, DAY * 7, NOW).expect("files");
    let keyring = Keyring::load(paths(folder.path())).expect("our own files");
    assert_eq!(keyring.key_epoch(), KeyEpoch(2));
    assert!(old.file.certificate.verify(&keyring.trust(), NOW).is_err());
    assert!(keyring.identity().channel_certificate.verify(&keyring.trust(), NOW).is_ok());
    assert!(keyring.issue(order(), NOW).expect("a sound order").file.certificate.verify(&keyring.trust(), NOW).is_ok());
}

#[test]
fn foreign_or_edited_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    community(folder.path());
    community(other.path());
    let (ours, theirs) = (paths(folder.path()), paths(other.path()));
    std::fs::copy(theirs.signing(KeyEpoch(1)), ours.signing(KeyEpoch(1))).expect("a copy");
    assert!(matches!(Keyring::load(ours.clone()), Err(KeyError::OtherKey { .. })));
    std::fs::remove_file(ours.signing(KeyEpoch(1))).expect("the file");
    secret_file::replace(&ours.channel(), "nonsense").expect("a file");
    let error = Keyring::load(ours).err().expect("no channel key");
    assert!(matches!(&error, KeyError::Text { path, .. } if path.ends_with("channel.key")), "{error}");
}
