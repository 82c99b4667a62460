//! Cipher and HMAC of one direction and epoch, set up once.

use alloc::vec::Vec;

use aes_gcm::aead::{AeadInOut, KeyInit as _};
use aes_gcm::{Aes256Gcm, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::frame::{FrameError, HEADER_LEN, Header, TAG_LEN};
use crate::schedule::{Secret, expand_label};

/// The keys that one traffic secret gives.
pub(crate) struct RecordKeys {
    cipher: Aes256Gcm,
    mac: Hmac<Sha256>,
    iv: Zeroizing<[u8; 12]>,
}

impl RecordKeys {
    pub(crate) fn new(traffic: &Secret) -> Self {
        let key = expand_label::<32>(traffic, "key", b"");
        let mac = expand_label::<32>(traffic, "mac", b"");
        Self {
            cipher: Aes256Gcm::new_from_slice(key.as_slice()).expect("AES-256 keys have 32 bytes"),
            mac: Hmac::new_from_slice(mac.as_slice()).expect("HMAC takes keys of every length"),
            iv: expand_label(traffic, "iv", b""),
        }
    }

    /// Seals the plaintext that stands behind room for a header at `out[start..]`, and writes that header.
    ///
    /// `header.payload_len` is that of the sealed payload; `header.hmac` is filled in here.
    pub(crate) fn seal(&self, mut header: Header, out: &mut Vec<u8>, start: usize) {
        let authenticated = header.authenticated();
        let payload_at = start + HEADER_LEN;
        let tag = self
            .cipher
            .encrypt_inout_detached(&self.nonce(&header).into(), &authenticated, (&mut out[payload_at..]).into())
            .expect("payloads are far below the limit of AES-GCM");
        out.extend_from_slice(&tag);
        header.hmac = self.hmac(&authenticated, &out[payload_at..]);
        out[start..payload_at].copy_from_slice(&header.encode());
    }

    /// Steps 4 and 5 of the receiver: HMAC in constant time, then the cipher, in place.
    pub(crate) fn open<'a>(&self, header: &Header, payload: &'a mut [u8]) -> Result<&'a mut [u8], FrameError> {
        let authenticated = header.authenticated();
        if !bool::from(self.hmac(&authenticated, payload).ct_eq(&header.hmac)) {
            return Err(FrameError::NotAuthentic);
        }
        let (ciphertext, tag) = payload.split_last_chunk_mut::<TAG_LEN>().ok_or(FrameError::WrongPayload)?;
        let opened =
            self.cipher.decrypt_inout_detached(&self.nonce(header).into(), &authenticated, (&mut *ciphertext).into(), &Tag::from(*tag));
        match opened {
            Ok(()) => Ok(ciphertext),
            Err(aes_gcm::Error) => Err(FrameError::NotAuthentic),
        }
    }

    fn hmac(&self, authenticated: &[u8; 25], payload: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(authenticated);
        mac.update(payload);
        mac.finalize().into_bytes().into()
    }

    fn nonce(&self, header: &Header) -> [u8; 12] {
        let mut nonce = header.nonce_field();
        for (byte, iv) in nonce.iter_mut().zip(self.iv.iter()) {
            *byte ^= iv;
        }
        nonce
    }
}
