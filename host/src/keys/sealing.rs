//! Secrets at rest: each is encrypted under a key of its own row, and a ciphertext is worth nothing in any other place.
//!
//! ```text
//! row key = HKDF-SHA256(key-encryption key, salt = row, info = "rs2 row " ‖ table ‖ "." ‖ column)
//! blob    = version u8 ‖ kek_id u32 ‖ nonce(12) ‖ AES-256-GCM(row key, nonce, aad, secret)
//! aad     = table ‖ column ‖ row ‖ key_epoch u32 ‖ kek_id u32        (table and column behind their one-byte lengths)
//! ```

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// Encrypts every secret that the database holds. A backup without it is useless.
#[derive(ZeroizeOnDrop)]
pub struct KeyEncryptionKey {
    key: [u8; 32],
    #[zeroize(skip)]
    kek_id: u32,
}

/// Where a secret lives. Sealed into the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Table of the database.
    pub table: &'static str,
    /// Its column.
    pub column: &'static str,
    /// The row's UUID.
    pub row: [u8; 16],
    /// The signing key's generation that the row belongs to.
    pub key_epoch: u32,
}

/// A sealed secret that cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// The blob is too short, or of an unknown version.
    #[error("the sealed secret has no known format")]
    Format,
    /// It was sealed under another key-encryption key.
    #[error("sealed under key-encryption key {sealed_under}, this host has {here}")]
    OtherKey {
        /// Named by the blob.
        sealed_under: u32,
        /// Ours.
        here: u32,
    },
    /// It was changed, or moved here from another row, column or key epoch.
    #[error("the sealed secret was changed or does not belong here")]
    Tampered,
}

const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + 4 + NONCE_LEN;

impl KeyEncryptionKey {
    /// Takes 32 random bytes, or those that storage kept.
    #[must_use]
    pub fn new(kek_id: u32, key: [u8; 32]) -> Self {
        Self { key, kek_id }
    }

    /// The number of this key.
    #[must_use]
    pub fn kek_id(&self) -> u32 {
        self.kek_id
    }

    /// The bytes, for the key file, and for keys of other purposes that derive from them.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// Encrypts a secret for its place. `nonce` is fresh randomness.
    #[must_use]
    pub fn seal(&self, place: &Place, secret: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut blob = Vec::with_capacity(HEADER_LEN + secret.len() + TAG_LEN);
        blob.push(VERSION);
        blob.extend_from_slice(&self.kek_id.to_be_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(secret);
        let tag = self
            .row_cipher(place)
            .encrypt_inout_detached(&Nonce::from(nonce), &place.aad(self.kek_id), (&mut blob[HEADER_LEN..]).into())
            .expect("a secret is far shorter than 64 GiB");
        blob.extend_from_slice(&tag);
        blob
    }

    /// Decrypts what was sealed for this place.
    ///
    /// # Errors
    /// [`UnsealError`]: the database was changed, or the key file is another one.
    pub fn open(&self, place: &Place, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let (&[version, k0, k1, k2, k3], rest) = blob.split_first_chunk().ok_or(UnsealError::Format)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError::Format)?;
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(UnsealError::Format)?;
        if version != VERSION {
            return Err(UnsealError::Format);
        }
        let sealed_under = u32::from_be_bytes([k0, k1, k2, k3]);
        if sealed_under != self.kek_id {
            return Err(UnsealError::OtherKey { sealed_under, here: self.kek_id });
        }
        let mut secret = Zeroizing::new(ciphertext.to_vec());
        self.row_cipher(place)
            .decrypt_inout_detached(&Nonce::from(*nonce), &place.aad(self.kek_id), secret.as_mut_slice().into(), &Tag::from(*tag))
            .ok()
            .ok_or(UnsealError::Tampered)?;
        Ok(secret)
    }

    /// A key for another purpose of the host: join tokens and the like. Different labels give independent keys.
    #[must_use]
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.key)
            .expand_multi_info(&[b"rs2 host ", label.as_bytes()], key.as_mut_slice())
            .expect("32 bytes are one block of HKDF");
        key
    }

    fn row_cipher(&self, place: &Place) -> Aes256Gcm {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(&place.row), &self.key)
            .expand_multi_info(&[b"rs2 row ", place.table.as_bytes(), b".", place.column.as_bytes()], &mut key)
            .expect("32 bytes are one block of HKDF");
        let cipher = Aes256Gcm::new(&key.into());
        key.zeroize();
        cipher
    }
}

impl Place {
    fn aad(&self, kek_id: u32) -> Vec<u8> {
        let mut aad = Vec::with_capacity(64);
        for name in [self.table, self.column] {
            aad.push(u8::try_from(name.len()).expect("names of tables and columns are short constants"));
            aad.extend_from_slice(name.as_bytes());
        }
        aad.extend_from_slice(&self.row);
        aad.extend_from_slice(&self.key_epoch.to_be_bytes());
        aad.extend_from_slice(&kek_id.to_be_bytes());
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { table: "certificates", column: "sealed_secret", row: [7; 16], key_epoch: 1 };

    fn kek(kek_id: u32, byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::new(kek_id, [byte; 32])
    }

    #[test]
    fn what_was_sealed_opens_in_its_place() {
        let blob = kek(1, 3).seal(&PLACE, b"secret", [5; 12]);
        assert_eq!(kek(1, 3).open(&PLACE, &blob).expect("its own place").as_slice(), b"secret");
        assert!(!blob.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn a_ciphertext_cannot_be_moved() {
        let blob = kek(1, 3).seal(&PLACE, b"secret", [5; 12]);
        for (name, place) in [
            ("row", Place { row: [8; 16], ..PLACE }),
            ("column", Place { column: "other", ..PLACE }),
            ("table", Place { table: "other", ..PLACE }),
            ("key epoch", Place { key_epoch: 2, ..PLACE }),
            ("a border between names", Place { table: "certificatess", column: "ealed_secret", ..PLACE }),
        ] {
            assert_eq!(kek(1, 3).open(&place, &blob).err(), Some(UnsealError::Tampered), "{name}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let blob = kek(1, 3).seal(&PLACE, b"secret", [5; 12]);
        assert_eq!(kek(1, 4).open(&PLACE, &blob).err(), Some(UnsealError::Tampered));
        assert_eq!(kek(2, 3).open(&PLACE, &blob).err(), Some(UnsealError::OtherKey { sealed_under: 1, here: 2 }));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let blob = kek(1, 3).seal(&PLACE, b"secret", [5; 12]);
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(kek(1, 3).open(&PLACE, &changed).is_err(), "bit {bit}");
        }
        for len in 0..blob.len() {
            assert!(kek(1, 3).open(&PLACE, &blob[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn labels_give_independent_keys() {
        assert_ne!(*kek(1, 3).derive("join"), *kek(1, 3).derive("other"));
        assert_eq!(*kek(1, 3).derive("join"), *kek(1, 3).derive("join"));
    }
}
